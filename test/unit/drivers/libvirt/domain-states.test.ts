import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  mayBeIncoming,
  toLifecycleEvent,
  toRunState,
} from '../../../../src/drivers/libvirt/domain-states.ts';

test('states and reasons have words', () => {
  assert.deepEqual(toRunState(1, 2), { state: 'running', reason: 'migrated' });
  assert.deepEqual(toRunState(3, 5), { state: 'paused', reason: 'io-error' });
  assert.deepEqual(toRunState(5, 3), { state: 'stopped', reason: 'crashed' });
  assert.deepEqual(toRunState(6, 1), { state: 'crashed', reason: 'crashed' });
  assert.deepEqual(toRunState(4, 1), { state: 'shutting-down', reason: 'user' });
});

test('a state newer than this driver is unknown, never stopped', () => {
  assert.deepEqual(toRunState(8, 0), { state: 'unknown', reason: 'unknown' });
});

test('a reason newer than this driver is unknown, and the state is what libvirt says', () => {
  assert.deepEqual(toRunState(1, 12), { state: 'running', reason: 'unknown' });
  assert.deepEqual(toRunState(3, 15), { state: 'paused', reason: 'unknown' });
  assert.deepEqual(toRunState(5, 99), { state: 'stopped', reason: 'unknown' });
});

test('a guest whose memory is on two nodes is told apart from one that a migration has stopped', () => {
  assert.deepEqual(toRunState(1, 10), { state: 'running', reason: 'postcopy' });
  assert.deepEqual(toRunState(1, 11), { state: 'running', reason: 'postcopy-failed' });
  assert.deepEqual(toRunState(3, 2), { state: 'paused', reason: 'migration' });
  assert.deepEqual(toRunState(3, 12), { state: 'paused', reason: 'postcopy' });
  assert.deepEqual(toRunState(3, 13), { state: 'paused', reason: 'postcopy-failed' });
});

test('only a VM paused for a migration or just set up may be arriving', () => {
  assert.ok(mayBeIncoming(3, 2));
  assert.ok(mayBeIncoming(3, 11));
  assert.ok(!mayBeIncoming(3, 1));
  assert.ok(!mayBeIncoming(1, 2));
});

/** In short: the event and who was at work. */
function told(type: number, detail: number): string {
  const { event, byMigration, byHost } = toLifecycleEvent(type, detail);
  return [event, ...(byMigration ? ['by migration'] : []), ...(byHost ? ['by host'] : [])].join(
    ' ',
  );
}

test('events have words, and say who was at work', () => {
  assert.equal(told(5, 3), 'stopped by migration');
  assert.equal(told(5, 1), 'stopped');
  assert.equal(told(3, 1), 'suspended by migration');
  assert.equal(told(3, 0), 'suspended');
  assert.equal(told(0, 1), 'defined');
  // Finished; after the guest's request; after the host's.
  assert.deepEqual(
    [0, 1, 2].map((detail) => told(6, detail)),
    ['shutdown', 'shutdown', 'shutdown by host'],
  );
});

test('an event newer than this driver is unknown', () => {
  assert.equal(told(42, 1), 'unknown');
});
