import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { GuestState } from '../../../../src/agent/shutdown/node-shutdown.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import {
  assertStaysOff,
  startsOf,
  stateOf,
  untilOff,
  untilRunning,
  untilWritten,
  withVm,
} from '../runs/controlled-node.ts';
import { apply, manifestOf } from '../vms/manifests.ts';
import { never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';

/** Longer than any test waits. */
const LONG_MS = 600_000;
/** Soon over. */
const SHORT_MS = 50;

function shutDown({ agent }: OneNode, timeoutMs = LONG_MS, dryRun = false) {
  return agent.shutdown.shutDown({ timeoutMs, dryRun, requestedBy: 'unix:root' }, never);
}

const shutdownOf = async ({ agent }: OneNode) => (await agent.node.get(never)).shutdown;

async function guestsOf(node: OneNode): Promise<readonly (readonly [string, GuestState])[]> {
  const { guests = [] } = (await shutdownOf(node)) ?? {};
  return guests.map(({ vm, state }) => [vm.name, state] as const);
}

const untilDone = (node: OneNode) =>
  until('it is done', async () => (await shutdownOf(node))?.isDone === true);

const intentOf = async ({ hypervisor }: OneNode, uid: string) =>
  (await hypervisor.domains.find(uid, never))?.definition?.intent;

const callsOf = ({ hypervisor }: OneNode, call: string): number =>
  hypervisor.calls.filter((made) => made === call).length;

test('guests are asked to power off, and what is wanted of their VMs stays as it is', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const begun = await shutDown(node);
  assert.equal(begun.isDone, false);
  assert.deepEqual(
    begun.guests.map(({ vm, state }) => [vm.uid, state]),
    [[uid, 'waiting-for-guest']],
  );
  await until('it is asked', () => callsOf(node, `shutdown ${uid}`) === 1);
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['stopping', 'NodeShuttingDown']);
  node.hypervisor.stopGuest(uid);
  await untilDone(node);
  assert.deepEqual(await guestsOf(node), [['web', 'off']]);
  assert.equal(await intentOf(node, uid), 'on');
  assert.equal(callsOf(node, `destroy ${uid}`), 0);
});

test('nothing is started while the host is about to go down, and run strategies hold again once that is called off', async () => {
  const { node, request, ref, uid } = await withVm('Always');
  await using _node = node;
  await shutDown(node);
  await untilDone(node);
  const starts = startsOf(node, uid);
  await assert.rejects(node.vms.start(ref, never), {
    reason: 'NODE_SHUTTING_DOWN',
    message: /Cannot start VM web.*--abort/,
  });
  await assert.rejects(node.create(newRequest('new')), { reason: 'NODE_SHUTTING_DOWN' });
  const asked = { id: randomUUID(), kind: 'start', vm: ref, parameters: {} } as const;
  await assert.rejects(node.agent.operations.submit({ ...asked, requestedBy: 'me' }, never), {
    reason: 'NODE_SHUTTING_DOWN',
  });
  const machine = request.spec.template.spec;
  const vm = { namespace: 'default', name: 'other', uid: undefined };
  const reservation = { id: randomUUID(), vm, machine, ttlMs: 60_000 };
  await assert.rejects(node.agent.node.reserve(reservation), { reason: 'NODE_SHUTTING_DOWN' });
  // What starts nothing is done as ever.
  const labelled = manifestOf(request, { metadata: { labels: { tier: 'db' } } });
  assert.equal((await apply(node, labelled)).outcome, 'changed');
  await node.create(newRequest('later', { runStrategy: 'Manual' }));
  assert.equal(startsOf(node, uid), starts);

  await node.agent.shutdown.abort(never);
  await untilRunning(node, uid);
  assert.equal(await shutdownOf(node), undefined);
  await node.agent.shutdown.abort(never);
});

/** What comes of a VM that was on, by strategy, once the host has booted or its shutdown was called off. */
const AFTERWARDS = {
  Always: 'is started again',
  RerunOnFailure: 'is started again',
  Once: 'stays off',
  Manual: 'stays off',
} as const satisfies Partial<Record<RunStrategy, string>>;

for (const [strategy, outcome] of Object.entries(AFTERWARDS) as [
  keyof typeof AFTERWARDS,
  string,
][]) {
  for (const obeys of [true, false]) {
    const guest = obeys ? 'powers off' : 'does not listen';

    test(`a VM of strategy ${strategy} whose guest ${guest} ${outcome} after the boot`, async () => {
      const { node: before, ref, uid } = await withVm(strategy);
      if (strategy === 'Manual') await before.vms.start(ref, never);
      before.hypervisor.slowShutdown = !obeys;
      await shutDown(before, obeys ? LONG_MS : SHORT_MS);
      await untilDone(before);
      assert.deepEqual(
        [await stateOf(before, uid), await intentOf(before, uid)],
        ['stopped', 'on'],
      );
      await untilWritten(before, uid, 'off');
      const left = await before.leave();
      left.hypervisor.reboot();
      left.hypervisor.slowShutdown = false;
      await using node = await OneNode.open({ ...left, bootId: 'another boot' });
      node.agent.run();
      if (outcome === 'stays off') await assertStaysOff(node, uid);
      else await untilRunning(node, uid);
      assert.equal(await shutdownOf(node), undefined);
    });
  }

  test(`a VM of strategy ${strategy} ${outcome} when the shutdown is called off`, async () => {
    const { node, ref, uid } = await withVm(strategy);
    await using _node = node;
    if (strategy === 'Manual') await node.vms.start(ref, never);
    await shutDown(node);
    await untilDone(node);
    await node.agent.shutdown.abort(never);
    if (outcome === 'stays off') await assertStaysOff(node, uid);
    else await untilRunning(node, uid);
  });
}

test('the power of a guest that does not listen is cut at the deadline, once', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  await shutDown(node, SHORT_MS);
  await untilDone(node);
  assert.deepEqual(await guestsOf(node), [['web', 'power-cut']]);
  assert.equal(callsOf(node, `destroy ${uid}`), 1);
  assert.deepEqual([await stateOf(node, uid), await intentOf(node, uid)], ['stopped', 'on']);
  assert.equal(startsOf(node, uid), 1);
});

test('a paused VM is said to be in the way, and its power is cut at the deadline', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await node.hypervisor.domains.suspend(uid, never);
  node.hypervisor.slowShutdown = true;
  const [guest] = (await shutDown(node)).guests;
  assert.match(guest?.message ?? '', /paused.*resume/);
  // Sooner than it was said at first.
  await shutDown(node, SHORT_MS);
  await untilDone(node);
  assert.deepEqual(await guestsOf(node), [['web', 'power-cut']]);
});

test('a VM that somebody starts meanwhile is powered off too', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await shutDown(node);
  await untilDone(node);
  await node.hypervisor.domains.start(uid, never);
  await until('it is asked again', () => callsOf(node, `shutdown ${uid}`) === 2);
  await untilOff(node, uid);
});

test('a dry run says what would become of which VMs, and changes nothing', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await node.create(newRequest('off', { runStrategy: 'Manual' }));
  const { guests, isDone, startedAtMs, deadlineMs } = await shutDown(node, 30_000, true);
  assert.deepEqual(
    guests.map(({ vm, state, message }) => [vm.name, state, message]),
    [['web', 'planned', '']],
  );
  assert.deepEqual([isDone, deadlineMs - startedAtMs], [false, 30_000]);
  assert.equal(await shutdownOf(node), undefined);
  assert.equal(callsOf(node, `shutdown ${uid}`), 0);
});

test('the node says so: in its conditions, and that it takes no VMs', async () => {
  const { node } = await withVm('Always');
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  await shutDown(node);
  const { conditions } = await node.agent.node.get(never);
  const told = (type: string) => {
    const found = conditions.find((condition) => condition.type === type);
    return [found?.status, found?.reason];
  };
  assert.deepEqual(told('ShuttingDown'), ['true', 'WaitingForGuests']);
  assert.deepEqual(told('Schedulable'), ['false', 'ShuttingDown']);
  assert.deepEqual(told('Ready'), ['true', 'Ready']);
});

test('the next agent of the same boot goes on where the one before was killed', async () => {
  const { node: before, uid } = await withVm('Always');
  const { hypervisor } = before;
  hypervisor.slowShutdown = true;
  const { deadlineMs, startedAtMs } = await shutDown(before);
  await until('it is asked', () => callsOf(before, `shutdown ${uid}`) === 1);
  const left = await before.leave();

  await using node = await OneNode.open(left);
  node.agent.run();
  await until('it is asked again', () => callsOf(node, `shutdown ${uid}`) === 2);
  // As a caller does that got no answer.
  const asked = { timeoutMs: undefined, dryRun: false, requestedBy: 'somebody else' };
  const again = await node.agent.shutdown.shutDown(asked, never);
  assert.equal(again.requestedBy, 'unix:root');
  assert.deepEqual([again.deadlineMs, again.startedAtMs], [deadlineMs, startedAtMs]);
  hypervisor.stopGuest(uid, 'crashed');
  await untilDone(node);
  assert.equal(startsOf(node, uid), 1);
  assert.equal(await intentOf(node, uid), 'on');
});

test('a deadline that passes while no agent runs is kept by the next one', async () => {
  let clockMs = 1_000;
  const bootClock = () => clockMs;
  await using before = await OneNode.open({ bootClock });
  const { hypervisor, journal } = before;
  const request = newRequest('web', { runStrategy: 'Always' });
  await before.create(request);
  hypervisor.slowShutdown = true;
  await shutDown(before, 120_000);
  clockMs += 120_000;
  await using node = await OneNode.open({ hypervisor, journal, bootClock });
  node.agent.run();
  await untilOff(node, uidOf(request));
  assert.equal(callsOf(node, `shutdown ${uidOf(request)}`), 0);
});

test('while libvirt cannot be asked nothing is taken for off, and what is on is powered off when it can', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.disconnect();
  const { guests, isDone } = await shutDown(node);
  assert.deepEqual([isDone, guests.map(({ state }) => state)], [false, ['waiting-for-guest']]);
  assert.match(guests[0]?.message ?? '', /cannot be asked/);
  node.hypervisor.reconnect();
  await untilOff(node, uid);
  await untilDone(node);
});

test('what fails with one VM is told, tried again, and holds up no other', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  const other = newRequest('other', { runStrategy: 'Always' });
  await node.create(other);
  node.hypervisor.slowShutdown = true;
  const release = node.hypervisor.keepUnread(uid);
  await shutDown(node);
  await until('the other is asked', () => callsOf(node, `shutdown ${uidOf(other)}`) === 1);
  node.hypervisor.stopGuest(uidOf(other));
  await until('the other is off', async () =>
    (await guestsOf(node)).some(([name, state]) => name === 'other' && state === 'off'),
  );
  assert.deepEqual(await guestsOf(node), [
    ['other', 'off'],
    ['web', 'waiting-for-guest'],
  ]);
  release();
  node.hypervisor.stopGuest(uid);
  await untilDone(node);
});
