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
  assert.deepEqual(toRunState(6, 1), { state: 'crashed', reason: 'panicked' });
  assert.deepEqual(toRunState(4, 1), { state: 'shutting-down', reason: 'user' });
});

test('a state newer than this driver is unknown, never stopped', () => {
  assert.deepEqual(toRunState(8, 0), { state: 'unknown', reason: 'state-8' });
  assert.deepEqual(toRunState(5, 99), { state: 'stopped', reason: 'reason-99' });
});

test('only a VM paused for a migration or just set up may be arriving', () => {
  assert.ok(mayBeIncoming(3, 2));
  assert.ok(mayBeIncoming(3, 11));
  assert.ok(!mayBeIncoming(3, 1));
  assert.ok(!mayBeIncoming(1, 2));
});

test('events have words', () => {
  assert.deepEqual(toLifecycleEvent(5, 3), { event: 'stopped', detail: 'migrated' });
  assert.deepEqual(toLifecycleEvent(0, 1), { event: 'defined', detail: 'updated' });
  assert.deepEqual(toLifecycleEvent(42, 0), { event: 'unknown', detail: 'event-42' });
});
