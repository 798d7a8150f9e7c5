import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunStrategyController } from '../../../../src/agent/vms/run-strategy-controller.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import type { VmRunState } from '../../../../src/drivers/hypervisor-domains.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { apply, manifestOf, writtenByNewer } from './manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf, until } from './one-node.ts';

type End = 'shutdown' | 'crashed';

/** Has the node's VMs brought to what their run strategies say. */
function control(node: OneNode, { firstDelayMs = 1 } = {}): void {
  node.run();
  const { tasks, inventory } = node.agent;
  const controller = new RunStrategyController({
    vms: node.vms,
    untilListed: inventory.untilListed.bind(inventory),
    tasks,
    log: createLogger('silent'),
    firstDelayMs,
  });
  tasks.run('run strategies', (signal) => controller.run(signal));
}

async function withVm(runStrategy: RunStrategy) {
  const node = await OneNode.open();
  control(node);
  const request = newRequest('web', { runStrategy });
  const { phase } = await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request), phase };
}

const startsOf = ({ hypervisor }: OneNode, uid: string): number =>
  hypervisor.calls.filter((call) => call === `start ${uid}`).length;

const stateOf = async ({ hypervisor }: OneNode, uid: string) =>
  (await hypervisor.domains.find(uid, never))?.state;

/** It is so, and whoever has brought it about is done. */
const untilState = (node: OneNode, uid: string, state: VmRunState) =>
  until(`it is ${state}`, async () => {
    return node.locks.purposeOf(uid) === undefined && (await stateOf(node, uid)) === state;
  });

const untilRunning = (node: OneNode, uid: string) => untilState(node, uid, 'running');
const untilOff = (node: OneNode, uid: string) => untilState(node, uid, 'stopped');

/** Lets everything that is wanted by now be done: another VM stops after all that has happened and is started twice. */
async function settle(node: OneNode): Promise<void> {
  const witness = newRequest('witness', { runStrategy: 'Always' });
  await node.create(witness);
  for (const starts of [2, 3]) {
    node.hypervisor.stopGuest(uidOf(witness));
    await until('the witness runs', () => startsOf(node, uidOf(witness)) === starts);
    await untilRunning(node, uidOf(witness));
  }
  await node.vms.delete(refOf(witness), { force: true }, never);
}

async function assertStaysOff(node: OneNode, uid: string): Promise<void> {
  node.hypervisor.forgetCalls();
  await settle(node);
  assert.equal(startsOf(node, uid), 0);
  assert.equal(await stateOf(node, uid), 'stopped');
}

/** What becomes of a VM that runs, by the way in which its run ends by itself. */
const AFTERWARDS: Readonly<Record<Exclude<RunStrategy, 'Halted'>, Readonly<Record<End, string>>>> =
  {
    Always: { shutdown: 'is started again', crashed: 'is started again' },
    RerunOnFailure: { shutdown: 'stays off', crashed: 'is started again' },
    Once: { shutdown: 'stays off', crashed: 'stays off' },
    Manual: { shutdown: 'stays off', crashed: 'stays off' },
  };
const STRATEGIES = Object.entries(AFTERWARDS) as [
  keyof typeof AFTERWARDS,
  (typeof AFTERWARDS)['Always'],
][];

for (const [runStrategy, afterwards] of STRATEGIES) {
  for (const [end, outcome] of Object.entries(afterwards) as [End, string][]) {
    const how = end === 'crashed' ? 'crashes' : 'is powered off by its guest';

    test(`a VM of strategy ${runStrategy} that ${how} ${outcome}`, async () => {
      const { node, ref, uid } = await withVm(runStrategy);
      await using _node = node;
      if (runStrategy === 'Manual') await node.vms.start(ref, never);
      node.hypervisor.stopGuest(uid, end);
      if (outcome === 'stays off') {
        await assertStaysOff(node, uid);
        return;
      }
      await untilRunning(node, uid);
      const { definition } = await node.vms.get(ref, never);
      assert.deepEqual([definition.intent, definition.generation], ['on', 1]);
    });

    test(`a VM of strategy ${runStrategy} that ${how} while no agent runs ${outcome}`, async () => {
      await using before = await OneNode.open();
      const { hypervisor } = before;
      const request = newRequest('web', { runStrategy });
      const uid = uidOf(request);
      await before.create(request);
      if (runStrategy === 'Manual') await before.vms.start(refOf(request), never);
      await before[Symbol.asyncDispose]();
      hypervisor.stopGuest(uid, end);

      await using node = await OneNode.open({ hypervisor });
      control(node);
      if (outcome === 'stays off') await assertStaysOff(node, uid);
      else await untilRunning(node, uid);
    });
  }
}

for (const runStrategy of ['Always', 'RerunOnFailure', 'Once'] as const) {
  test(`a VM of strategy ${runStrategy} runs from when it is made until a caller stops it`, async () => {
    const { node, ref, uid, phase } = await withVm(runStrategy);
    await using _node = node;
    assert.equal(phase, 'running');
    assert.equal((await node.vms.shutdown(ref, never)).definition.intent, 'off');
    await assertStaysOff(node, uid);
    assert.equal((await node.vms.start(ref, never)).definition.intent, 'on');
    await node.vms.destroy(ref, never);
    await assertStaysOff(node, uid);
  });
}

test('a VM that a caller has stopped stays off when the agent starts again', async () => {
  await using before = await OneNode.open();
  const { hypervisor } = before;
  const request = newRequest('web', { runStrategy: 'Always' });
  await before.create(request);
  await before.vms.shutdown(refOf(request), never);
  await before[Symbol.asyncDispose]();
  await using node = await OneNode.open({ hypervisor });
  control(node);
  await assertStaysOff(node, uidOf(request));
});

test('a VM of strategy Manual is off when it is made, and runs as callers say', async () => {
  const { node, ref, uid, phase } = await withVm('Manual');
  await using _node = node;
  assert.equal(phase, 'stopped');
  await assertStaysOff(node, uid);
  await node.vms.start(ref, never);
  await settle(node);
  assert.equal(await stateOf(node, uid), 'running');
});

test('a VM of strategy Halted is off, is not started and is shut down when it runs', async () => {
  const { node, ref, uid, phase } = await withVm('Halted');
  await using _node = node;
  assert.equal(phase, 'stopped');
  await assert.rejects(node.vms.start(ref, never), { reason: 'RUN_STRATEGY_HALTED' });
  await assertStaysOff(node, uid);
  // Somebody else has started it.
  await node.hypervisor.domains.start(uid, never);
  await untilOff(node, uid);
});

test('a guest that takes its time is asked once to power off, and again by the next agent', async () => {
  await using before = await OneNode.open();
  const { hypervisor } = before;
  const request = newRequest('web', { runStrategy: 'Once' });
  const uid = uidOf(request);
  const asked = () => hypervisor.calls.filter((call) => call === `shutdown ${uid}`).length;
  await before.create(request);
  hypervisor.slowShutdown = true;
  control(before);
  await apply(before, manifestOf(request, { spec: { runStrategy: 'Halted' } }));
  await until('it is stopping', async () => {
    const { phase } = await before.vms.get(refOf(request), never);
    return phase === 'stopping';
  });
  await settle(before);
  assert.equal(asked(), 1);
  await before[Symbol.asyncDispose]();

  await using node = await OneNode.open({ hypervisor });
  control(node);
  await until('it is asked again', () => asked() === 2);
});

test('a VM is started or shut down when it is given another strategy', async () => {
  const { node, request, uid } = await withVm('Halted');
  await using _node = node;
  await apply(node, manifestOf(request, { spec: { runStrategy: 'Always' } }));
  await untilRunning(node, uid);
  await apply(node, manifestOf(request, { spec: { runStrategy: undefined, running: false } }));
  await untilOff(node, uid);
  await apply(node, manifestOf(request, { spec: { runStrategy: undefined, running: true } }));
  await untilRunning(node, uid);
});

test('a VM that is here runs on and is started again while the node is cordoned', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await node.agent.cordon.update({ cordon: true }, undefined);
  assert.equal(await stateOf(node, uid), 'running');
  node.hypervisor.stopGuest(uid, 'crashed');
  await untilRunning(node, uid);
});

test('a start that fails is repeated, each time after twice as long', async () => {
  await using node = await OneNode.open();
  const { domains } = node.hypervisor;
  const firstDelayMs = 5;
  const request = newRequest('web', { runStrategy: 'Always' });
  const uid = uidOf(request);
  await node.create(request);
  const startedAtMs: number[] = [];
  const start = domains.start.bind(domains);
  domains.start = (...vm) => {
    startedAtMs.push(performance.now());
    return start(...vm);
  };
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'), 4);
  node.hypervisor.stopGuest(uid, 'crashed');
  control(node, { firstDelayMs });
  await untilRunning(node, uid);
  assert.equal(startedAtMs.length, 5);
  for (const [index, atMs] of startedAtMs.slice(1).entries()) {
    const waitedMs = atMs - (startedAtMs[index] ?? 0);
    // A timer may be early by a part of a millisecond.
    assert.ok(waitedMs > firstDelayMs * 2 ** (index + 1) - 1, `${index}: ${waitedMs}`);
  }
});

test('a VM that crashes again before anybody has seen it run is started again', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  const { hypervisor } = node;
  const start = hypervisor.domains.start.bind(hypervisor.domains);
  let crashes = 3;
  hypervisor.domains.start = async (...vm) => {
    await start(...vm);
    if (crashes-- > 0) hypervisor.stopGuest(uid, 'crashed');
  };
  hypervisor.stopGuest(uid, 'crashed');
  await untilRunning(node, uid);
  assert.ok(crashes < 0);
});

test('a VM that is deleted while its start fails is given up', async () => {
  const { node, request, ref, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'), 2);
  node.hypervisor.stopGuest(uid);
  await until('it was tried', () => startsOf(node, uid) >= 2);
  await until('it is free', async () => {
    try {
      await node.vms.delete(ref, { force: true }, never);
      return true;
    } catch {
      return false;
    }
  });
  await node.assertNothingOf(request);
});

test('a VM that starts and stops by itself while the hypervisor is away is seen to afterwards', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.disconnect();
  node.hypervisor.stopGuest(uid);
  await until('it is unknown', async () => (await node.vms.get(ref, never)).phase === 'unknown');
  assert.equal(startsOf(node, uid), 1);
  node.hypervisor.reconnect();
  await untilRunning(node, uid);
});

test('a copy of a VM that another node owns is never started', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  await node.ownership.release({ uid, namespace: ref.namespace, name: ref.name }, 2, 'b');
  await untilOff(node, uid);
  await assertStaysOff(node, uid);
  assert.equal((await node.vms.get(ref, never)).reason, 'StaleCopy');
});

test('a VM that something else is being done to is left alone until that has ended', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  {
    using _lock = node.locks.tryAcquire(uid, 'migration 7');
    node.hypervisor.stopGuest(uid);
    await assertStaysOff(node, uid);
  }
  await untilRunning(node, uid);
});

test('a VM that has left by a migration of others, or is saved, is not started', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  for (const stateReason of ['migrated', 'saved'] as const) {
    const list = node.hypervisor.domains.list.bind(node.hypervisor.domains);
    node.hypervisor.domains.list = async (signal) => {
      const listed = await list(signal);
      return listed.map((vm) => (vm.uid === uid ? { ...vm, stateReason } : vm));
    };
    node.hypervisor.stopGuest(uid);
    await assertStaysOff(node, uid);
    node.hypervisor.domains.list = list;
    await untilRunning(node, uid);
    assert.equal((await node.vms.get(ref, never)).phase, 'running');
  }
});

test('a VM of a strategy that only a newer agent knows is left as callers want it', async () => {
  await using node = await OneNode.open();
  const definition = writtenByNewer(tinyVm({ intent: 'on' }, newRequest().spec.template.spec), {
    runStrategy: 'OnWeekdays',
  });
  const { uid, namespace, name } = definition;
  const ref = { namespace, name, uid };
  await node.hypervisor.domains.define(definition, never);
  control(node);
  await node.inventory.untilListed(never);
  await assertStaysOff(node, uid);
  assert.equal((await node.vms.start(ref, never)).phase, 'running');
  await settle(node);
  assert.equal(await stateOf(node, uid), 'running');
  node.hypervisor.stopGuest(uid, 'crashed');
  await assertStaysOff(node, uid);
});
