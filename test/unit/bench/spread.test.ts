import assert from 'node:assert/strict';
import { test } from 'node:test';
import { spreadOf } from '../../../bench/measure/spread.ts';

test('the spread of a hundred values names the middle, the ends and the 99th', () => {
  const values = Array.from({ length: 101 }, (_, index) => 100 - index);
  assert.deepEqual(spreadOf(values), { median: 50, min: 0, max: 100, p99: 99, count: 101 });
});

test('of nothing measured there is no figure', () => {
  assert.ok(Number.isNaN(spreadOf([]).median));
});
