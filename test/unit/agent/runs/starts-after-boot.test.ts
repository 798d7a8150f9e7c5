import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Peer, Peers } from '../../../../src/agent/migration/peers.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import {
  ask,
  begin,
  runOf,
  settle,
  startsOf,
  stateOf,
  untilRunning,
  withVm,
} from './controlled-node.ts';

async function conditionOf(node: OneNode, request: WantedVm, type = 'RunStrategyFulfilled') {
  const { conditions } = await node.vms.get(refOf(request), never);
  const { status, reason, message } = conditions.find((condition) => condition.type === type) ?? {};
  return { status, reason, message };
}

const untilReason = (node: OneNode, request: WantedVm, reason: string) =>
  until(`it is ${reason}`, async () => (await conditionOf(node, request)).reason === reason);

const startsIn = ({ hypervisor }: OneNode): readonly string[] =>
  hypervisor.calls.filter((call) => call.startsWith('start ')).map((call) => call.slice(6));

/** VMs that all ran when their node went down, the oldest first, and the node as the next agent finds it. */
async function rebooted(names: readonly string[], options: { readonly memoryVms?: number } = {}) {
  const { memoryVms = names.length } = options;
  const before = await OneNode.open({ memoryVms: names.length });
  before.agent.run();
  const requests: WantedVm[] = [];
  for (const name of names) {
    const request = newRequest(name, { runStrategy: 'Always' });
    await before.create(request);
    requests.push(request);
    // Two of one millisecond would be told apart by their names.
    const { createdAtMs } = (await before.vms.get(refOf(request), never)).definition;
    await until('time passes', () => Date.now() > createdAtMs);
  }
  await until('all is written', () => {
    return before.journal.rows('SELECT 1 FROM run WHERE is_on = 1').length === names.length;
  });
  const left = await before.leave();
  left.hypervisor.reboot();
  left.hypervisor.forgetCalls();
  const uids = requests.map(uidOf);
  const open = (more: Parameters<typeof OneNode.open>[0] = {}) =>
    OneNode.open({ ...left, memoryVms, bootId: 'another boot', ...more });
  return { requests, uids, open };
}

test('after a boot VMs are started one after the other, the oldest first', async () => {
  const { requests, uids, open } = await rebooted(['d', 'a', 'c', 'b']);
  await using node = await open({ startsAtOnce: 1 });
  node.agent.run();
  for (const uid of uids) await untilRunning(node, uid);
  assert.deepEqual(startsIn(node), uids);
  for (const request of requests) {
    assert.equal((await conditionOf(node, request)).status, 'true');
  }
});

test('after a boot no more VMs are started at once than is set, and the others say that they wait', async () => {
  const { requests, uids, open } = await rebooted(['a', 'b', 'c', 'd', 'e']);
  await using node = await open({ startsAtOnce: 2 });
  const goOn = node.hypervisor.block('start');
  node.agent.run();
  await until('two are being started', () => startsIn(node).length === 2);
  for (const request of requests.slice(2)) await untilReason(node, request, 'WaitsForTurn');
  await node.inventory.refresh(never);
  assert.deepEqual(startsIn(node).toSorted(), uids.slice(0, 2).toSorted());
  goOn();
  for (const uid of uids) await untilRunning(node, uid);
});

test('what a caller has started does not wait for its turn', async () => {
  const { requests, uids, open } = await rebooted(['a', 'b']);
  await using node = await open({ startsAtOnce: 1 });
  const goOn = node.hypervisor.block('start');
  node.agent.run();
  await until('the first is being started', () => startsIn(node).length === 1);
  const [, second] = requests;
  assert.ok(second);
  await begin(node, 'start', refOf(second));
  await until('both are being started', () => startsIn(node).length === 2);
  goOn();
  for (const uid of uids) await untilRunning(node, uid);
});

test('a VM that its node has no memory for waits, says so, and is started when there is some', async () => {
  const { requests, uids, open } = await rebooted(['a', 'b', 'c'], { memoryVms: 2 });
  await using node = await open();
  node.agent.run();
  const [first, , last] = requests;
  assert.ok(first && last);
  await untilReason(node, last, 'WaitsForMemory');
  const { status, message } = await conditionOf(node, last);
  assert.equal(status, 'false');
  assert.match(message ?? '', /tried again at \d\d:\d\d:\d\dZ.*Cannot give VM c 1\d\dMi of memory/);
  for (const uid of uids.slice(0, 2)) await untilRunning(node, uid);
  assert.equal(startsOf(node, uids[2] ?? ''), 0);
  await ask(node, 'shutdown', refOf(first));
  await untilRunning(node, uids[2] ?? '');
});

test('while its node is going down nothing is started, and what shall run says so', async () => {
  const { node, request, uid } = await withVm('Always');
  await using _node = node;
  const { shutdown } = node.agent;
  await shutdown.shutDown({ timeoutMs: 600_000, dryRun: false, requestedBy: 'me' }, never);
  await untilReason(node, request, 'NodeGoingDown');
  await node.inventory.refresh(never);
  assert.equal(startsOf(node, uid), 1);
  await shutdown.abort(never);
  await untilRunning(node, uid);
});

test('a VM whose starts fail says when the next one comes, how many have failed and why', async () => {
  const { node, request, uid } = await withVm('Always', { firstRestartDelayMs: 20 });
  await using _node = node;
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no such kernel'), 4);
  node.hypervisor.stopGuest(uid, 'crashed');
  await until('three have failed', async () => {
    return (await node.vms.get(refOf(request), never)).restart?.failedStarts === 3;
  });
  const { restart } = await node.vms.get(refOf(request), never);
  assert.equal(restart?.lastFailure, 'no such kernel');
  assert.ok((restart.nextStartMs ?? 0) > Date.now());
  const { status, reason, message } = await conditionOf(node, request);
  assert.deepEqual([status, reason], ['false', 'WaitsToRestart']);
  assert.match(
    message ?? '',
    /^Starts again at \d\d:\d\d:\d\dZ, 3 starts failed in a row: no such kernel$/,
  );
  assert.match(
    (await conditionOf(node, request, 'Ready')).message ?? '',
    /; starts again at \d\d:/,
  );
  await untilRunning(node, uid);
});

test('a start that fails is told by the next agent too', async () => {
  const {
    node: before,
    request,
    ref,
    uid,
  } = await withVm('Always', {
    firstRestartDelayMs: 10_000,
  });
  await ask(before, 'destroy', ref);
  before.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no such kernel'));
  assert.equal((await ask(before, 'start', ref)).state, 'failed');
  await using node = await OneNode.open({ ...(await before.leave()), firstRestartDelayMs: 10_000 });
  node.agent.run();
  await untilReason(node, request, 'WaitsToRestart');
  assert.match(
    (await conditionOf(node, request)).message ?? '',
    /1 start failed in a row: no such/,
  );
  assert.equal(await stateOf(node, uid), 'stopped');
});

test('a guest that ends soon after each start is counted, and one that a caller has stopped is as it should be', async () => {
  const { node, request, ref, uid } = await withVm('Always');
  await using _node = node;
  for (const starts of [2, 3]) {
    node.hypervisor.stopGuest(uid);
    await until('it is started again', () => startsOf(node, uid) === starts);
    await untilRunning(node, uid);
  }
  await until(
    'it is counted',
    async () => (await node.vms.get(ref, never)).restart?.attempts === 2,
  );
  await ask(node, 'shutdown', ref);
  assert.deepEqual(await conditionOf(node, request), {
    status: 'true',
    reason: 'Fulfilled',
    message: '',
  });
});

test('a saved VM of strategy Always says that it waits for somebody', async () => {
  const { node, request, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.stopGuest(uid, 'saved');
  await untilReason(node, request, 'Saved');
  await settle(node);
  assert.match((await conditionOf(node, request)).message ?? '', /novactl vm start test\/web/);
});

test('a Halted VM that runs does not fulfil its strategy until it is off', async () => {
  const { node, request, uid } = await withVm('Halted');
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  await node.hypervisor.domains.start(uid, never);
  await until('it is asked to power off', async () => {
    return (await node.vms.get(refOf(request), never)).phase === 'stopping';
  });
  node.hypervisor.stopGuest(uid);
  await until('it is off', async () => (await conditionOf(node, request)).status === 'true');
});

test('a VM whose end nobody saw is not started while another node has it', async () => {
  for (const presence of ['held', 'absent'] as const) {
    const before = await OneNode.open();
    before.agent.run();
    const request = newRequest('web', { runStrategy: 'Always' });
    await before.create(request);
    await until('it is written', () => runOf(before, uidOf(request))?.['is_on'] === 1);
    const left = await before.leave();
    left.hypervisor.reboot();
    const locate = async () => ({ presence, isOwner: false, isRunning: presence === 'held' });
    const peer = { nodeName: 'b', locate } as unknown as Peer;
    const peers: Peers = {
      list: () => [peer],
      find: () => peer,
      visit: (_nodeName, _address, work) => work(peer),
    };
    await using after = await OneNode.open({ ...left, bootId: 'next', peers });
    after.agent.run();
    if (presence === 'absent') await untilRunning(after, uidOf(request));
    else {
      await until('it is said why', async () => {
        const { restart } = await after.vms.get(refOf(request), never);
        return restart?.lastFailure.includes('node b has it too') === true;
      });
      assert.equal(await stateOf(after, uidOf(request)), 'stopped');
    }
  }
});
