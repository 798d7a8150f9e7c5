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

test('events have words, and say whether a migration was at work', () => {
  assert.deepEqual(toLifecycleEvent(5, 3), { event: 'stopped', byMigration: true });
  assert.deepEqual(toLifecycleEvent(5, 1), { event: 'stopped', byMigration: false });
  assert.deepEqual(toLifecycleEvent(3, 1), { event: 'suspended', byMigration: true });
  assert.deepEqual(toLifecycleEvent(3, 0), { event: 'suspended', byMigration: false });
  assert.deepEqual(toLifecycleEvent(0, 1), { event: 'defined', byMigration: false });
});

test('an event newer than this driver is unknown', () => {
  assert.deepEqual(toLifecycleEvent(42, 1), { event: 'unknown', byMigration: false });
});
