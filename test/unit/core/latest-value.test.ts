import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LatestValue } from '../../../src/core/latest-value.ts';

const never = new AbortController().signal;

test('a watcher gets the value there is, skips what it was too slow for, and ends with the last', async () => {
  const latest = new LatestValue(1);
  const seen: number[] = [];
  for await (const value of latest.watch(never)) {
    seen.push(value);
    if (value === 1) {
      latest.set(2);
      latest.set(3);
      latest.end();
    }
  }
  assert.deepEqual(seen, [1, 3]);
});

test('a watcher that comes after the end gets the last value', async () => {
  const latest = new LatestValue('done');
  latest.end();
  assert.deepEqual(await Array.fromAsync(latest.watch(never)), ['done']);
});

test('an aborted watch throws the reason', async () => {
  const latest = new LatestValue(1);
  const controller = new AbortController();
  await assert.rejects(async () => {
    for await (const _ of latest.watch(controller.signal)) controller.abort(new Error('enough'));
  }, /enough/);
});
