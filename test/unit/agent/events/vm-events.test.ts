import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../fixtures/until.ts';
import { ask, begin } from '../runs/controlled-node.ts';
import { manifestOf } from '../vms/manifests.ts';
import { newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import { expectTold, refFor, toldBy, withVm } from './eventful-node.ts';

const MADE = ['Requested Create tester', 'Created tester', 'Started RunStrategy tester'];

test('what callers ask for is told with what comes of it and who has asked', async () => {
  const request = newRequest();
  await using node = await withVm(request);
  const ref = refFor(request);
  const told = [...MADE];
  await expectTold(node, told);
  const happens = async (kind: Parameters<typeof begin>[1], ...what: readonly string[]) => {
    await ask(node, kind, ref);
    told.push(...what);
    await expectTold(node, told);
  };
  await happens('suspend', 'Requested Suspend tester', 'Paused Suspended tester');
  await happens('resume', 'Requested Resume tester', 'Resumed Suspended tester');
  await happens('reset', 'Requested Reset tester', 'Reset tester');
  await happens('destroy', 'Requested Destroy tester', 'Stopped Destroyed tester');
  await happens('start', 'Requested Start tester', 'Started Request tester');
});

test('why a VM is off is told, and whether anybody wanted that', async () => {
  for (const [how, ...what] of [
    ['shutdown', 'Stopped GuestShutdown'],
    ['destroyed', 'Stopped DestroyedByOther'],
    ['saved', 'Stopped Saved'],
    ['crashed', 'StoppedUnexpectedly Crashed', 'Degraded Crashed'],
    ['terminated', 'StoppedUnexpectedly Terminated', 'Degraded Terminated'],
  ] as const) {
    const request = newRequest();
    await using node = await withVm(request);
    await expectTold(node, MADE);
    node.hypervisor.stopGuest(uidOf(request), how);
    await expectTold(node, [...MADE, ...what]);
  }
});

test('why a VM stands still is told, and that it goes on', async () => {
  const request = newRequest();
  await using node = await withVm(request);
  await expectTold(node, MADE);
  node.hypervisor.setState(uidOf(request), 'paused', 'no-space');
  const paused = [...MADE, 'PausedUnexpectedly NoSpace', 'Degraded NoSpace'];
  await expectTold(node, paused);
  node.hypervisor.setState(uidOf(request), 'running', 'resumed');
  await expectTold(node, [...paused, 'Resumed NoSpace', 'Recovered']);
});

test('that a watchdog has fired is told, with what that has done', async () => {
  const request = newRequest();
  await using node = await withVm(request);
  const uid = uidOf(request);
  const told = [...MADE];
  await expectTold(node, told);
  node.hypervisor.fireWatchdog(uid, 'reset');
  told.push('WatchdogFired Reset', 'Rebooted Other');
  await expectTold(node, told);
  node.hypervisor.fireWatchdog(uid, 'pause');
  told.push('WatchdogFired Pause', 'PausedUnexpectedly Watchdog', 'Degraded Watchdog');
  await expectTold(node, told);
  // It stands still already.
  node.hypervisor.fireWatchdog(uid, 'none');
  await expectTold(node, [...told, 'WatchdogFired None']);
});

test('what a run strategy does is told, and what the next start waits for; what happens again and again is counted', async () => {
  const request = newRequest('web', { runStrategy: 'Always' });
  await using node = await withVm(request);
  const uid = uidOf(request);
  const ends = async (starts: number) => {
    await until('it runs', async () => {
      const on = (await toldBy(node)).filter((what) => what.startsWith('Started RunStrategy'));
      const counts = on.map((what) => Number(/ x(\d+)$/.exec(what)?.[1] ?? 1));
      return counts.reduce((sum, count) => sum + count, 0) === starts;
    });
    node.hypervisor.stopGuest(uid);
  };
  for (const starts of [1, 2, 3]) await ends(starts);
  await expectTold(node, [
    ...MADE,
    'Stopped GuestShutdown x3',
    'Started RunStrategy agent/run-strategies x3',
    'BackOff RunStrategy x2',
    'Degraded BackOff',
  ]);
});

test('that somebody has changed a definition is told, and that it was put back', async () => {
  const request = newRequest();
  await using node = await withVm(request);
  await expectTold(node, MADE);
  node.hypervisor.changeByHand(uidOf(request), 'memory');
  const drifted = [...MADE, 'Drifted DefinitionChanged'];
  await expectTold(node, [...drifted, 'DriftRepaired PutBack agent/drift']);
});

test('what is changed by an apply is told by field, and what waits for the next start', async () => {
  const request = newRequest();
  await using node = await withVm(request);
  await expectTold(node, MADE);
  const manifest = manifestOf(request, { machine: { resources: { cpu: '2', memory: '64Mi' } } });
  await ask(node, 'apply', refFor(request), { manifest });
  await expectTold(node, [...MADE, 'Requested Apply tester', 'Changed tester']);
  const [row] = node.journal.rows(
    "SELECT message, operation_id FROM event WHERE reason = 'Changed'",
  );
  assert.equal(
    row?.['message'],
    'It was changed by tester: resources.cpu 1 to 2 (after the next start)',
  );
  assert.notEqual(row['operation_id'], '');
});

test('what could not be done is told with its reason, and nothing else of a VM that was not made', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  const request = newRequest('web', { memory: '1Gi' });
  await assert.rejects(begin(node, 'create', refFor(request), { manifest: request }));
  const other = newRequest();
  node.hypervisor.fail('start', new Error('broken'));
  await ask(node, 'create', refFor(other), { manifest: other });
  await expectTold(node, ['Requested Create tester', 'RequestFailed Internal tester']);
});

test('a VM that somebody has undefined has vanished, and one that was deleted has not', async () => {
  const [gone, deleted] = [newRequest('gone', { runStrategy: 'Manual' }), newRequest('deleted')];
  await using node = await withVm(gone);
  await ask(node, 'create', refFor(deleted), { manifest: deleted });
  await until('both are known', async () => (await toldBy(node)).length === 5);
  await ask(node, 'delete', refFor(deleted), { force: true });
  await node.hypervisor.domains.undefine(uidOf(gone), new AbortController().signal);
  await until('it is told', async () => (await toldBy(node)).includes('Vanished'));
  const told = await toldBy(node);
  assert.deepEqual(
    told.filter((what) => /Vanished|Deleted/.test(what)),
    ['Deleted tester', 'Vanished'],
  );
  // It is not said that somebody else has cut its power.
  assert.ok(!told.includes('Stopped DestroyedByOther'), told.join());
});

test('an agent that has never told anything takes for known what is there', async () => {
  const request = newRequest();
  const node = await withVm(request);
  await expectTold(node, MADE);
  const { hypervisor } = await node.leave();
  // As an agent leaves it that knows nothing of events.
  await using next = await OneNode.open({ hypervisor });
  next.agent.run();
  await until('it is known', () => next.journal.rows('SELECT * FROM sight').length === 1);
  next.hypervisor.stopGuest(uidOf(request));
  await expectTold(next, ['Stopped GuestShutdown']);
});
