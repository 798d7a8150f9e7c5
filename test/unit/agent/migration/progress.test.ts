import assert from 'node:assert/strict';
import { test } from 'node:test';
import { advance, complete, NO_PROGRESS } from '../../../../src/agent/migration/progress.ts';
import type { JobStatistics } from '../../../../src/drivers/hypervisor-jobs.ts';

const MIB = 1024n ** 2n;

function job(changes: Partial<JobStatistics>): JobStatistics {
  return {
    kind: 'unbounded',
    operation: 'migration-out',
    elapsedMs: 0,
    setupMs: 0,
    downtimeMs: 0,
    memoryTotalBytes: 100n * MIB,
    memoryProcessedBytes: 0n,
    memoryRemainingBytes: 100n * MIB,
    memoryConstantPages: 0n,
    memoryNormalBytes: 0n,
    memoryBytesPerSecond: 50n * MIB,
    dirtyPagesPerSecond: 0n,
    pageSizeBytes: 4096,
    iteration: 1,
    disks: undefined,
    ...changes,
  };
}

test('the share that is done never falls, although the guest writes', () => {
  const half = advance(NO_PROGRESS, job({ memoryRemainingBytes: 50n * MIB }), undefined);
  const dirtied = advance(half, job({ memoryRemainingBytes: 80n * MIB, iteration: 2 }), undefined);
  assert.equal(dirtied.fractionDone, half.fractionDone);
  assert.equal(dirtied.memoryRemainingBytes, 80n * MIB);
});

test('nothing is known of the time left while the guest writes faster than is copied', () => {
  const progress = advance(
    NO_PROGRESS,
    job({ dirtyPagesPerSecond: (60n * MIB) / 4096n }),
    undefined,
  );
  assert.equal(progress.estimatedMsLeft, undefined);
  assert.equal(progress.dirtyBytesPerSecond, 60n * MIB);
});

test('the time left takes account of what the guest writes', () => {
  const progress = advance(
    NO_PROGRESS,
    job({ dirtyPagesPerSecond: (25n * MIB) / 4096n }),
    undefined,
  );
  assert.equal(progress.estimatedMsLeft, 4_000);
});

test('statistics that are all zero, as before the first byte, change nothing', () => {
  const half = advance(NO_PROGRESS, job({ memoryRemainingBytes: 50n * MIB }), undefined);
  assert.deepEqual(advance(half, job({ memoryTotalBytes: 0n, iteration: 0 }), undefined), half);
});

test('a look that finds no job and no transfer keeps what is known', () => {
  const half = advance(NO_PROGRESS, job({ memoryRemainingBytes: 50n * MIB }), undefined);
  assert.deepEqual(advance(half, undefined, undefined), half);
});

test('what was not looked at is made good by the figures of the destination', () => {
  const seen = advance(NO_PROGRESS, job({ memoryProcessedBytes: 80n * MIB }), undefined);
  const figures = { downtimeMs: 1, memoryProcessedBytes: 120n * MIB, iterations: 4 };
  const whole = complete(seen, figures);
  assert.equal(whole.memoryProcessedBytes, 120n * MIB);
  assert.equal(whole.iteration, 4);
});

test('only a completed migration is wholly done', () => {
  const last = advance(NO_PROGRESS, job({ memoryRemainingBytes: 0n }), undefined);
  assert.ok(last.fractionDone < 1);
  assert.equal(complete(last, undefined).fractionDone, 1);
});
