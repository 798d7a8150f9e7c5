import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FreezeStore } from '../../../../src/agent/guests/freeze-store.ts';
import { AgentError, hasReason } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never, OneNode } from '../vms/one-node.ts';
import { GuestNode } from './guest-node.ts';

const LONG = { timeoutMs: 60_000, requestedBy: 'somebody' };
const SHORT = { timeoutMs: 20, requestedBy: 'somebody' };
const NOT_FORCED = { isForced: false };

async function records({ node }: GuestNode) {
  return await new FreezeStore(node.journal.database).list();
}

async function failsAsFrozen(work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, 'GUEST_FROZEN'), String(error));
    assert.match(error.message, /vm guest thaw test\/web --force/);
    return true;
  });
}

test('what is frozen is on record before the guest is asked, and no more once it is thawed', async () => {
  await using on = await GuestNode.start();
  const proceed = on.hypervisor.block('freeze');
  const freezing = on.guests.freeze(on.ref, LONG, never);
  await until('it is asked to freeze', () =>
    on.hypervisor.calls.some((call) => call.startsWith('freeze')),
  );
  assert.equal((await records(on)).length, 1);
  assert.equal(on.guest.isFrozen, false);
  proceed();
  const { fileSystems, requestedBy } = await freezing;
  assert.deepEqual([fileSystems, requestedBy, on.guest.isFrozen], [1, 'somebody', true]);
  assert.equal((await on.guests.get(on.ref, never)).freeze?.requestedBy, 'somebody');
  assert.equal(await on.guests.thaw(on.ref, NOT_FORCED, never), 1);
  assert.deepEqual([on.guest.isFrozen, await records(on)], [false, []]);
  assert.equal(await on.guests.thaw(on.ref, NOT_FORCED, never), 0);
});

test('it is thawed by itself when its time is over', async () => {
  await using on = await GuestNode.start();
  await on.guests.freeze(on.ref, SHORT, never);
  await until('the record is gone', async () => (await records(on)).length === 0);
  assert.equal(on.guest.isFrozen, false);
});

test('freezing once more begins the time anew', async () => {
  await using on = await GuestNode.start();
  const first = await on.guests.freeze(on.ref, { ...LONG, timeoutMs: 30_000 }, never);
  const second = await on.guests.freeze(on.ref, LONG, never);
  assert.equal(second.fileSystems, undefined);
  assert.ok(second.deadlineMs > first.deadlineMs);
  assert.equal(on.guest.isFrozen, true);
});

test('the next agent thaws what the one before has frozen', async () => {
  const before = await GuestNode.start();
  const { uid, guest } = before;
  await before.guests.freeze(before.ref, { ...SHORT, timeoutMs: 200 }, never);
  const left = await before.node.leave();
  assert.equal(guest.isFrozen, true);
  await using node = await OneNode.open(left);
  node.agent.run();
  await until('it is thawed', () => !guest.isFrozen);
  const store = new FreezeStore(node.journal.database);
  await until('the record is gone', async () => (await store.list()).length === 0);
  assert.equal(left.hypervisor.calls.filter((call) => call === `thaw ${uid}`).length, 1);
});

test('a record of a boot before is overdue at once', async () => {
  const before = await GuestNode.start();
  await before.guests.freeze(before.ref, LONG, never);
  const left = await before.node.leave();
  await using node = await OneNode.open({ ...left, bootId: 'the next' });
  node.agent.run();
  await until('it is thawed', () => !before.guest.isFrozen);
});

test('a guest that does not let itself be thawed is asked again until it does', async () => {
  await using on = await GuestNode.start();
  const silent = new AgentError('GUEST_AGENT_TIMEOUT', 'It is silent');
  on.hypervisor.fail('thaw', silent, 1);
  await on.guests.freeze(on.ref, SHORT, never);
  await until('the record is gone', async () => (await records(on)).length === 0);
  assert.equal(on.guest.isFrozen, false);
});

test('a freeze that fails, or whose caller has gone, is undone', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('freeze', new AgentError('GUEST_AGENT_TIMEOUT', 'It is silent'));
  await assert.rejects(on.guests.freeze(on.ref, LONG, never), (error) =>
    hasReason(error, 'GUEST_AGENT_TIMEOUT'),
  );
  await until('the record is gone', async () => (await records(on)).length === 0);
  const carryOut = on.hypervisor.late('freeze', 'aborted');
  const caller = new AbortController();
  const freezing = on.guests.freeze(on.ref, LONG, caller.signal);
  await until(
    'it is asked to freeze',
    () => on.hypervisor.calls.filter((call) => call.startsWith('freeze')).length === 2,
  );
  // It happens all the same.
  carryOut();
  caller.abort(new Error('enough'));
  await assert.rejects(freezing, /enough/);
  await until('it is thawed', () => !on.guest.isFrozen);
  await until('the record is gone', async () => (await records(on)).length === 0);
});

test('what somebody else has frozen is left alone unless it is forced', async () => {
  await using on = await GuestNode.start();
  on.guest.isFrozen = true;
  await failsAsFrozen(on.guests.freeze(on.ref, LONG, never));
  await failsAsFrozen(on.guests.thaw(on.ref, NOT_FORCED, never));
  assert.equal(on.guest.isFrozen, true);
  assert.equal(await on.guests.thaw(on.ref, { isForced: true }, never), 1);
});

test('a VM that goes off, or begins anew, is not frozen any more', async () => {
  await using on = await GuestNode.start();
  await on.guests.freeze(on.ref, LONG, never);
  await on.node.vms.destroy(on.ref, never);
  await until('the record is gone', async () => (await records(on)).length === 0);
});

test('a guest that is paused when its time is over is thawed once it goes on', async () => {
  await using on = await GuestNode.start();
  await on.guests.freeze(on.ref, { ...SHORT, timeoutMs: 100 }, never);
  await on.node.vms.suspend(on.ref, never);
  on.hypervisor.forgetCalls();
  await until('it was to be thawed', () => on.hypervisor.calls.includes(`thaw ${on.uid}`));
  assert.equal((await records(on)).length, 1);
  await on.node.vms.resume(on.ref, never);
  await until('it is thawed', () => !on.guest.isFrozen);
  await until('the record is gone', async () => (await records(on)).length === 0);
});

test('a VM that is being changed is not frozen, and the reason names what is under way', async () => {
  await using on = await GuestNode.start();
  using _lock = on.node.locks.tryAcquire(on.uid, 'migration 1234');
  await assert.rejects(on.guests.freeze(on.ref, LONG, never), (error) => {
    assert.ok(hasReason(error, 'VM_BUSY'));
    assert.match(error.message, /migration 1234 is in progress/);
    return true;
  });
  assert.deepEqual(await records(on), []);
});
