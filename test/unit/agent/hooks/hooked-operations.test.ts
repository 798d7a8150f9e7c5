import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../fixtures/until.ts';
import { ask, begin, ended, startsOf, stateOf, untilRunning } from '../runs/controlled-node.ts';
import { manifestOf } from '../vms/manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import {
  ADD,
  DRAIN,
  FAILURE,
  HOOKS,
  LEASE,
  untilBegun,
  untilIdle,
  withHooks,
} from './hooked-node.ts';

const MANUAL = { updateMask: undefined, generation: undefined };

test('a start that its hook refuses does not happen, and says what the hook said', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  node.hooks.setOutcome(LEASE, FAILURE);
  const { state, error, step } = await ask(node, 'start', ref);
  assert.deepEqual([state, error?.reason, step], ['failed', 'HOOK_FAILED', '']);
  assert.equal(
    error?.message,
    `Cannot start VM web: its preStart hook ${LEASE} ended with exit code 3; mend that and start it again, or take the hook out of its manifest; it said: no lease left`,
  );
  assert.equal(startsOf(node, uid), 0);
  const { conditions } = await node.vms.get(ref, never);
  assert.ok(conditions.some(({ message }) => message.includes('no lease left')));
});

test('while a hook runs the operation says so, and nothing else', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  const goOn = node.hooks.block(LEASE);
  const begun = await begin(node, 'start', ref);
  await untilBegun(node, 'preStart web');
  const { operations } = node.agent;
  await until('it says so', async () => {
    return (await operations.get(begun.id)).step === 'running-pre-start';
  });
  const { progress } = await operations.get(begun.id);
  assert.equal(progress?.message, LEASE);
  assert.ok((progress?.leftMs ?? 0) > 29_000 && (progress?.leftMs ?? 0) <= 30_000);
  assert.equal(startsOf(node, uid), 0);
  assert.equal(node.locks.purposeOf(uid), undefined);
  goOn();
  const { state, warnings } = await ended(node, begun);
  assert.deepEqual([state, warnings], ['succeeded', []]);
  assert.equal(await stateOf(node, uid), 'running');
  assert.deepEqual(node.hooks.begun, ['preStart web', 'postStart web']);
});

test('nothing is run for a start that cannot be, nor for one that has been', async () => {
  const { node, ref } = await withHooks({ memoryVms: 1 });
  await using _node = node;
  const hog = newRequest('hog');
  await node.create(hog);
  await assert.rejects(ask(node, 'start', ref), { reason: 'NODE_CAPACITY_EXCEEDED' });
  await node.vms.delete(refOf(hog), { force: true }, never);
  assert.deepEqual(node.hooks.begun, []);
  await ask(node, 'start', ref);
  await ask(node, 'start', ref);
  assert.deepEqual(node.hooks.begun, ['preStart web', 'postStart web']);
});

test('what fails once it runs is told, and it runs on', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  node.hooks.setOutcome(ADD, FAILURE);
  const { state, warnings } = await ask(node, 'start', ref);
  assert.equal(state, 'succeeded');
  assert.deepEqual(warnings, [
    `its postStart hook ${ADD} ended with exit code 3, and the VM runs all the same; it said: no lease left`,
  ]);
  assert.equal(await stateOf(node, uid), 'running');
});

test('what fails before a shutdown is told, and its guest is asked all the same', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  await ask(node, 'start', ref);
  node.hooks.setProblem(DRAIN, 'it does not exist; put it there');
  const { state, warnings } = await ask(node, 'shutdown', ref);
  assert.equal(state, 'succeeded');
  assert.deepEqual(warnings, [
    `its preStop hook ${DRAIN} is not run on this node: it does not exist; put it there, and its guest was asked to power off all the same; it has not begun`,
  ]);
  assert.equal(await stateOf(node, uid), 'stopped');
});

test('what was told of a hook is told of a shutdown that fails, too', async () => {
  const { node, ref } = await withHooks();
  await using _node = node;
  await ask(node, 'start', ref);
  node.hypervisor.slowShutdown = true;
  node.hooks.setOutcome(DRAIN, { failure: 'ended with exit code 1', output: '' });
  const { state, error, warnings } = await ask(node, 'shutdown', ref, { timeoutMs: 20 });
  assert.deepEqual([state, error?.reason], ['failed', 'GUEST_DID_NOT_STOP']);
  assert.match(warnings.join(), /preStop hook .* ended with exit code 1, .*; it said nothing$/);
});

test('a restart has all of them run, in their order', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  assert.equal((await ask(node, 'restart', ref)).result, 'STARTED');
  assert.deepEqual(node.hooks.begun.splice(0), ['preStart web', 'postStart web']);
  node.hooks.setOutcome(DRAIN, FAILURE);
  const { result, warnings } = await ask(node, 'restart', ref);
  assert.equal(result, 'RESTARTED');
  assert.equal(warnings.length, 1);
  assert.deepEqual(node.hooks.begun, ['preStop web', 'preStart web', 'postStart web']);
  assert.equal(await stateOf(node, uid), 'running');
});

test('nothing runs where power is cut, or where the guest begins anew or powers off by itself', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  await ask(node, 'start', ref);
  node.hooks.begun.length = 0;
  await ask(node, 'reset', ref);
  await ask(node, 'suspend', ref);
  await ask(node, 'resume', ref);
  node.hypervisor.stopGuest(uid);
  await until('it is off', async () => (await node.vms.get(ref, never)).phase === 'stopped');
  await node.vms.start(ref, never);
  await ask(node, 'destroy', ref);
  assert.deepEqual(node.hooks.begun, []);
});

test('what is asked for later ends the hook of what was asked before, and waits for that', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  node.hooks.block(LEASE);
  const first = await begin(node, 'start', ref);
  await untilBegun(node, 'preStart web');
  const { state } = await ask(node, 'destroy', ref);
  assert.equal(state, 'succeeded');
  assert.equal((await ended(node, first)).state, 'superseded');
  await untilIdle(node);
  assert.deepEqual(node.hooks.ended, ['preStart web']);
  assert.equal(startsOf(node, uid), 0);
});

test('an operation that is cancelled has its hook ended', async () => {
  const { node, ref, uid } = await withHooks();
  await using _node = node;
  node.hooks.block(LEASE);
  const begun = await begin(node, 'start', ref);
  await untilBegun(node, 'preStart web');
  await node.agent.operations.cancel(begun.id, never);
  assert.equal((await ended(node, begun)).state, 'cancelled');
  await untilIdle(node);
  assert.deepEqual(node.hooks.ended, ['preStart web']);
  assert.equal(startsOf(node, uid), 0);
});

for (const kind of ['create', 'apply'] as const) {
  const parametersOf = (manifest: unknown) => ({
    manifest,
    reservationId: undefined,
    ownershipEpoch: undefined,
    ...MANUAL,
  });

  test(`${kind} of a VM whose hook fails makes none`, async () => {
    await using node = await OneNode.open();
    node.agent.run();
    const request = newRequest('web', { machine: { lifecycle: HOOKS } });
    node.hooks.setOutcome(LEASE, FAILURE);
    const { state, error } = await ask(node, kind, refOf(request), parametersOf(request));
    assert.deepEqual([state, error?.reason], ['failed', 'HOOK_FAILED']);
    await node.assertNothingOf(request);
  });

  test(`${kind} of a VM whose hooks do well has it run`, async () => {
    await using node = await OneNode.open();
    node.agent.run();
    const request = newRequest('web', { machine: { lifecycle: HOOKS } });
    node.hooks.setOutcome(ADD, FAILURE);
    const { state, warnings } = await ask(node, kind, refOf(request), parametersOf(request));
    assert.deepEqual([state, warnings.length], ['succeeded', 1]);
    assert.equal(await stateOf(node, uidOf(request)), 'running');
    assert.deepEqual(node.hooks.begun, ['preStart web', 'postStart web']);
  });
}

test('a creation that is cancelled while its hook runs leaves nothing', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  const request = newRequest('web', { machine: { lifecycle: HOOKS } });
  node.hooks.block(LEASE);
  const parameters = { manifest: request, reservationId: undefined, ownershipEpoch: undefined };
  const begun = await begin(node, 'create', refOf(request), parameters);
  await untilBegun(node, 'preStart web');
  await node.agent.operations.cancel(begun.id, never);
  assert.equal((await ended(node, begun)).state, 'cancelled');
  await untilIdle(node);
  await node.assertNothingOf(request);
});

test('a change that has a VM run starts it with its hooks, and stays if they fail', async () => {
  const { node, request, ref, uid } = await withHooks();
  await using _node = node;
  node.hooks.setOutcome(LEASE, FAILURE);
  const once = manifestOf(request, { spec: { runStrategy: 'Once' } });
  const refused = await ask(node, 'apply', ref, { manifest: once, ...MANUAL });
  assert.deepEqual([refused.state, refused.result], ['succeeded', 'CHANGED']);
  assert.match(
    refused.warnings.join(),
    /^VM web was changed but not started: Cannot start VM web: its preStart hook/,
  );
  assert.equal(startsOf(node, uid), 0);
  node.hooks.setOutcome(LEASE, { failure: undefined, output: '' });
  for (const runStrategy of ['Manual', 'RerunOnFailure']) {
    const manifest = manifestOf(request, { spec: { runStrategy } });
    assert.equal((await ask(node, 'apply', ref, { manifest, ...MANUAL })).result, 'CHANGED');
  }
  assert.equal(await stateOf(node, uid), 'running');
  assert.deepEqual(node.hooks.begun, ['preStart web', 'preStart web', 'postStart web']);
});

test('a change whose VM is to be off by the time that its hook has ended leaves it off', async () => {
  const { node, request, ref, uid } = await withHooks();
  await using _node = node;
  const goOn = node.hooks.block(LEASE);
  const once = manifestOf(request, { spec: { runStrategy: 'Once' } });
  const begun = await begin(node, 'apply', ref, { manifest: once, ...MANUAL });
  await untilBegun(node, 'preStart web');
  await ask(node, 'destroy', ref);
  goOn();
  assert.equal((await ended(node, begun)).state, 'succeeded');
  assert.equal(startsOf(node, uid), 0);
});

test('an agent that ends takes the hook along, and the next one runs it again and starts the VM', async () => {
  const { node, ref, uid } = await withHooks();
  node.hooks.block(LEASE);
  const begun = await begin(node, 'start', ref);
  await untilBegun(node, 'preStart web');
  const left = await node.leave();
  assert.deepEqual(node.hooks.ended, ['preStart web']);
  await using next = await OneNode.open(left);
  next.agent.resume();
  next.agent.run();
  assert.equal((await ended(next, begun)).state, 'succeeded');
  assert.equal(await stateOf(next, uid), 'running');
  assert.deepEqual(next.hooks.begun, ['preStart web', 'postStart web']);
  assert.ok(next.hooks.swept.includes(uid));
});

test('a guest that was asked to power off has had its hook, whichever agent waits for it', async () => {
  const { node, ref, uid } = await withHooks();
  await ask(node, 'start', ref);
  node.hypervisor.slowShutdown = true;
  const begun = await begin(node, 'shutdown', ref);
  await until('it is waited for', async () => {
    return (await node.agent.operations.get(begun.id)).step === 'waiting-for-guest';
  });
  await using next = await OneNode.open(await node.leave());
  next.agent.resume();
  next.agent.run();
  await until(
    'it is asked again',
    () => next.hypervisor.calls.filter((call) => call === `shutdown ${uid}`).length > 1,
  );
  next.hypervisor.stopGuest(uid);
  assert.equal((await ended(next, begun)).state, 'succeeded');
  assert.deepEqual(next.hooks.begun, []);
});

test('a hook that takes too long fails, and that is a failed start for its run strategy, which waits longer each time', async () => {
  const { node, ref, uid } = await withHooks({ firstRestartDelayMs: 5 });
  await using _node = node;
  node.hooks.setOutcome(LEASE, FAILURE);
  const request = newRequest('web', { runStrategy: 'Always', machine: { lifecycle: HOOKS } });
  const manifest = { ...request, metadata: { ...request.metadata, uid } };
  await node.vms.apply(manifest, { dryRun: false, ...MANUAL }, never);
  await until('it has failed four times', async () => {
    return ((await node.vms.get(ref, never)).restart?.failedStarts ?? 0) >= 4;
  });
  const { restart } = await node.vms.get(ref, never);
  assert.match(restart?.lastFailure ?? '', /preStart hook .* no lease left/);
  assert.equal(startsOf(node, uid), 0);
  node.hooks.setOutcome(LEASE, { failure: undefined, output: '' });
  await untilRunning(node, uid);
});
