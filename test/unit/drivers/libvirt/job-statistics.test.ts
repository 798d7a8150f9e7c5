import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toJobStatistics } from '../../../../src/drivers/libvirt/job-statistics.ts';

const COMPLETED = 3;

test('times that libvirt does not tell are not known, and not 0', () => {
  const { elapsedMs, downtimeMs } = toJobStatistics(COMPLETED, new Map([['operation', 4]]));
  assert.deepEqual([elapsedMs, downtimeMs], [undefined, undefined]);
  const zero = toJobStatistics(COMPLETED, new Map([['time_elapsed', 0n]]));
  assert.equal(zero.elapsedMs, undefined);
});

test('the time of a job that came from another host does not depend on the clocks of both', () => {
  const sent = new Map([['time_elapsed', 1_000n]]);
  assert.equal(toJobStatistics(COMPLETED, sent).elapsedMs, 1_000);
  // The clock here is 5 s ahead.
  const received = new Map([
    ['time_elapsed', 6_003n],
    ['time_elapsed_net', 1_000n],
  ]);
  assert.equal(toJobStatistics(COMPLETED, received).elapsedMs, 1_000);
});
