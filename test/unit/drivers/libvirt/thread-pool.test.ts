import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Busyness, hasRoom } from '../../../../src/drivers/libvirt/thread-pool.ts';

const NOW_MS = 10_000;

function busy(lane: Busyness['lane'], count: number, startedAtMs = 0): readonly Busyness[] {
  return Array.from({ length: count }, () => ({ lane, request: {}, startedAtMs }));
}

test('40 long calls leave as many threads for everything else as none', () => {
  const long = busy('long', 40);
  assert.ok(hasRoom(long, 4, NOW_MS));
  assert.ok(hasRoom([...long, ...busy('pool', 3, NOW_MS + 1)], 4, NOW_MS));
  assert.ok(!hasRoom([...long, ...busy('pool', 4, NOW_MS + 1)], 4, NOW_MS));
});

test('calls that take long are stood in for, up to a limit', () => {
  assert.ok(hasRoom(busy('pool', 39), 4, NOW_MS));
  assert.ok(!hasRoom(busy('pool', 40), 4, NOW_MS));
});

test('calls that wait for guests count for none of the others', () => {
  const guests = busy('guest', 100, NOW_MS + 1);
  assert.ok(hasRoom([...guests, ...busy('pool', 3, NOW_MS + 1)], 4, NOW_MS));
});
