import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  advance,
  complete,
  halt,
  loseSight,
  NO_PROGRESS,
  switchingOver,
} from '../../../../src/agent/migration/progress.ts';
import type { JobStatistics } from '../../../../src/drivers/hypervisor-jobs.ts';
import type { TransferStatus } from '../../../../src/drivers/transfers.ts';

const MIB = 1024n ** 2n;

function job(changes: Partial<JobStatistics>): JobStatistics {
  return {
    kind: 'unbounded',
    operation: 'migration-out',
    elapsedMs: 0,
    setupMs: 0,
    downtimeMs: undefined,
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

function transfer(changes: Partial<TransferStatus>): TransferStatus {
  return {
    id: 't',
    role: 'source',
    state: 'connected',
    failureCode: '',
    failureMessage: '',
    listenPort: 0,
    lanesUp: 2,
    lanesConfigured: 2,
    reconnects: 0,
    stalledMs: 0,
    wireBytesSent: 70,
    wireBytesReceived: 7,
    rawBytesSent: 0,
    rawBytesReceived: 0,
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

const FIGURES = { downtimeMs: 1, memoryProcessedBytes: 120n * MIB, iterations: 4, elapsedMs: 9 };

test('what was not looked at is made good by the figures of the destination', () => {
  const seen = advance(NO_PROGRESS, job({ memoryProcessedBytes: 80n * MIB }), undefined);
  const whole = complete(seen, FIGURES, undefined);
  assert.equal(whole.memoryProcessedBytes, 120n * MIB);
  assert.equal(whole.iteration, 4);
});

test('what nobody tells at the end is not what was seen last, nor 0', () => {
  const seen = advance(NO_PROGRESS, job({ memoryProcessedBytes: 80n * MIB }), transfer({}));
  const { memoryProcessedBytes, iteration, wireBytes, stalledMs, memoryTotalBytes } = complete(
    seen,
    undefined,
    undefined,
  );
  assert.deepEqual(
    [memoryProcessedBytes, iteration, wireBytes, stalledMs, memoryTotalBytes],
    [undefined, undefined, undefined, undefined, 100n * MIB],
  );
});

test('only a completed migration is wholly done', () => {
  const last = advance(NO_PROGRESS, job({ memoryRemainingBytes: 0n }), undefined);
  assert.ok((last.fractionDone ?? 1) < 1);
  assert.equal(complete(last, undefined, undefined).fractionDone, 1);
});

test('nothing is known of a migration before it is looked at, but that nothing is done', () => {
  const { fractionDone, channels, ...figures } = NO_PROGRESS;
  assert.deepEqual([fractionDone, channels], [0, []]);
  assert.deepEqual(new Set(Object.values(figures)), new Set([undefined]));
});

test('a transfer whose process is gone without a word tells nothing', () => {
  const before = advance(NO_PROGRESS, undefined, undefined);
  assert.deepEqual(advance(before, undefined, transfer({ state: 'lost' })), before);
  assert.equal(advance(before, undefined, transfer({})).wireBytes, 77n);
});

test('of a migration that nobody sees any more, what was done is known, and not what is left or how fast it goes', () => {
  const half = advance(NO_PROGRESS, job({ memoryRemainingBytes: 50n * MIB }), undefined);
  const lost = loseSight(half);
  assert.equal(lost.fractionDone, half.fractionDone);
  assert.equal(lost.memoryTotalBytes, half.memoryTotalBytes);
  assert.deepEqual(
    [lost.memoryRemainingBytes, lost.memoryBytesPerSecond, lost.estimatedMsLeft],
    [undefined, undefined, undefined],
  );
  assert.equal(loseSight(NO_PROGRESS).fractionDone, undefined);
});

test('a migration that has failed goes on at no rate', () => {
  const half = advance(NO_PROGRESS, job({ memoryRemainingBytes: 50n * MIB }), undefined);
  const { memoryBytesPerSecond, estimatedMsLeft, fractionDone } = halt(half);
  assert.deepEqual([memoryBytesPerSecond, estimatedMsLeft], [0n, undefined]);
  assert.equal(fractionDone, half.fractionDone);
});

test('a guest that is stopped for its switchover is nearly there, though nobody has seen it being copied', () => {
  const fractionDone = switchingOver(NO_PROGRESS).fractionDone ?? 0;
  assert.ok(fractionDone > 0.9 && fractionDone < 1);
  assert.equal(switchingOver({ ...NO_PROGRESS, fractionDone: 0.995 }).fractionDone, 0.995);
});
