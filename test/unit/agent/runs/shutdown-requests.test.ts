import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import { never, OneNode } from '../vms/one-node.ts';
import {
  ask,
  assertStaysOff,
  begin,
  ended,
  reasonOf,
  settle,
  startsOf,
  stateOf,
  untilRunning,
  withVm,
} from './controlled-node.ts';

async function asking(runStrategy: RunStrategy = 'Once') {
  const vm = await withVm(runStrategy);
  const { node, ref } = vm;
  node.hypervisor.slowShutdown = true;
  const operation = await begin(node, 'shutdown', ref);
  const isStopping = async (at = node) => (await at.vms.get(ref, never)).phase === 'stopping';
  await until('it is stopping', isStopping);
  return { ...vm, operation, isStopping };
}

test('a VM is stopping from when its guest is asked until it is off, also for the next agent', async () => {
  const { node: before, ref, uid, operation, isStopping } = await asking();
  const left = await before.leave();
  left.hypervisor.forgetCalls();
  await using node = await OneNode.open(left);
  node.agent.run();
  assert.ok(await isStopping(node));
  // The one before may have been killed as it was about to ask.
  await until('it is asked again', () => left.hypervisor.calls.includes(`shutdown ${uid}`));
  assert.equal(await reasonOf(node, ref), 'ShutdownRequested');
  left.hypervisor.stopGuest(uid);
  assert.equal((await ended(node, operation)).state, 'succeeded');
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['stopped', 'Shutdown']);
});

for (const runStrategy of ['Always', 'RerunOnFailure', 'Once', 'Manual'] as const) {
  test(`a start takes a shutdown back: a VM of strategy ${runStrategy} whose guest powers off all the same runs again`, async () => {
    const { node, ref, uid } = await withVm(runStrategy);
    await using _node = node;
    if (runStrategy === 'Manual') await ask(node, 'start', ref);
    node.hypervisor.slowShutdown = true;
    const operation = await begin(node, 'shutdown', ref);
    await until('it is asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
    await ask(node, 'start', ref);
    assert.equal((await ended(node, operation)).state, 'superseded');
    assert.equal((await node.vms.get(ref, never)).phase, 'running');
    node.hypervisor.forgetCalls();
    node.hypervisor.stopGuest(uid);
    await until('it is started', () => startsOf(node, uid) === 1);
    await untilRunning(node, uid);
    // From here on it is its own will again.
    node.hypervisor.slowShutdown = false;
    if (runStrategy === 'Always') return;
    node.hypervisor.stopGuest(uid);
    await assertStaysOff(node, uid);
    assert.equal(await reasonOf(node, ref), 'GuestShutdown');
  });
}

test('a guest that does not power off in time runs on, which its VM says, also to the next agent', async () => {
  const { node: before, ref, uid } = await withVm('Once');
  before.hypervisor.slowShutdown = true;
  const operation = await ask(before, 'shutdown', ref, { timeoutMs: 1 });
  assert.equal(operation.error?.reason, 'GUEST_DID_NOT_STOP');
  const seen = async (node: OneNode) => {
    const { phase, reason, message } = await node.vms.get(ref, never);
    assert.match(message, /novactl vm log test\/web.*novactl vm destroy test\/web/);
    return [phase, reason];
  };
  assert.deepEqual(await seen(before), ['running', 'GuestDidNotStop']);
  await using node = await OneNode.open(await before.leave());
  node.agent.run();
  assert.deepEqual(await seen(node), ['running', 'GuestDidNotStop']);
  // Late, and because it was asked all the same.
  node.hypervisor.stopGuest(uid);
  await until('it is off', async () => (await reasonOf(node, ref)) === 'Shutdown');
});

test('a shutdown that is not waited for any more leaves a VM that shall be off and runs', async () => {
  const { node, ref, operation } = await asking();
  await using _node = node;
  await node.agent.operations.cancel(operation.id, never);
  assert.equal((await ended(node, operation)).state, 'cancelled');
  assert.equal(await reasonOf(node, ref), 'GuestDidNotStop');
});

test('a VM that somebody else starts says so until a caller wants it too', async () => {
  const { node, ref, uid } = await withVm('Once');
  await using _node = node;
  await ask(node, 'shutdown', ref);
  await node.hypervisor.domains.start(uid, never);
  const { phase, reason, message } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['running', 'StartedByOther']);
  assert.match(message, /novactl vm start test\/web/);
  await ask(node, 'start', ref);
  assert.equal(await reasonOf(node, ref), 'Booted');
});

test('a guest that powers off after somebody else has started it does so of its own will', async () => {
  const { node, ref, uid } = await withVm('Once');
  await using _node = node;
  await ask(node, 'shutdown', ref);
  await node.hypervisor.domains.start(uid, never);
  await until('it is seen', async () => (await reasonOf(node, ref)) === 'StartedByOther');
  await settle(node);
  node.hypervisor.stopGuest(uid);
  await until('it is off', async () => (await reasonOf(node, ref)) === 'GuestShutdown');
});

test('a shutdown has come to its end when its guest was off, though somebody has started it since', async () => {
  const { node, uid, operation } = await asking();
  await using _node = node;
  node.hypervisor.stopGuest(uid);
  // Both in one breath: the operation may look only after it.
  await node.inventory.refresh(never);
  await node.hypervisor.domains.start(uid, never);
  assert.equal((await ended(node, operation)).state, 'succeeded');
  assert.equal(await stateOf(node, uid), 'running');
});

test('a VM whose guest could not be asked to power off is not stopping', async () => {
  const { node, ref } = await withVm('Once');
  await using _node = node;
  node.hypervisor.fail('shutdown', new Error('no ACPI'));
  assert.equal((await ask(node, 'shutdown', ref)).state, 'failed');
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});

test('a clock that is put back while a VM runs changes nothing of what its shutdown comes to', async (t) => {
  const now = Date.now.bind(Date);
  const ahead = t.mock.method(Date, 'now', () => now() + 3_600_000);
  const { node, ref, uid } = await withVm('Once');
  await using _node = node;
  // Seen to come on by the wrong clock.
  await ask(node, 'destroy', ref);
  await ask(node, 'start', ref);
  ahead.mock.restore();
  node.hypervisor.slowShutdown = true;
  const operation = await ask(node, 'shutdown', ref, { timeoutMs: 1 });
  assert.equal(operation.error?.reason, 'GUEST_DID_NOT_STOP');
  assert.equal(await reasonOf(node, ref), 'GuestDidNotStop');
  const waiting = await begin(node, 'shutdown', ref);
  await settle(node);
  assert.equal((await node.vms.get(ref, never)).phase, 'stopping');
  node.hypervisor.stopGuest(uid);
  assert.equal((await ended(node, waiting)).state, 'succeeded');
  assert.equal(await reasonOf(node, ref), 'Shutdown');
});
