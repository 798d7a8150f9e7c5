import type { JobStatistics } from '../../drivers/hypervisor-jobs.ts';
import type { TransferStatus } from '../../drivers/transfers.ts';
import { countsOf } from './figures.ts';
import type { ArrivalFigures, MigrationProgress } from './migration.ts';

/** Nothing has been looked at yet. */
export const NO_PROGRESS: MigrationProgress = {
  memoryTotalBytes: undefined,
  memoryProcessedBytes: undefined,
  memoryRemainingBytes: undefined,
  memoryBytesPerSecond: undefined,
  dirtyBytesPerSecond: undefined,
  iteration: undefined,
  wireBytes: undefined,
  estimatedMsLeft: undefined,
  fractionDone: 0,
  stalledMs: undefined,
  channels: [],
};

/** The switchover itself is the last part of the work. */
const SHARE_BEFORE_SWITCHOVER = 0.99;

/** Progress after a new look at the job and its transfer. Only the remaining bytes, rates and the estimate may go back. */
export function advance(
  before: MigrationProgress,
  job: JobStatistics | undefined,
  transfer: TransferStatus | undefined,
): MigrationProgress {
  const counts = countsOf(transfer);
  const moved = {
    ...before,
    wireBytes: larger(before.wireBytes, counts?.wireBytes),
    stalledMs: larger(before.stalledMs, counts?.stalledMs),
  };
  // Before the first byte the statistics are all zero, which says nothing.
  if (job === undefined || job.memoryTotalBytes === 0n) return moved;
  const dirtyBytesPerSecond = job.dirtyPagesPerSecond * BigInt(job.pageSizeBytes);
  const done = 1 - Number(job.memoryRemainingBytes) / Number(job.memoryTotalBytes);
  return {
    ...moved,
    memoryTotalBytes: larger(before.memoryTotalBytes, job.memoryTotalBytes),
    memoryProcessedBytes: larger(before.memoryProcessedBytes, job.memoryProcessedBytes),
    memoryRemainingBytes: job.memoryRemainingBytes,
    memoryBytesPerSecond: job.memoryBytesPerSecond,
    dirtyBytesPerSecond,
    iteration: larger(before.iteration, job.iteration),
    estimatedMsLeft: estimateMs(
      job.memoryRemainingBytes,
      job.memoryBytesPerSecond,
      dirtyBytesPerSecond,
    ),
    fractionDone: larger(before.fractionDone, Math.min(1, done) * SHARE_BEFORE_SWITCHOVER),
    channels: job.disks === undefined ? before.channels : [{ name: 'volumes', ...job.disks }],
  };
}

/** Progress once the guest is stopped for its switchover, as the copy of a small one may have ended before anybody looked. */
export function switchingOver(before: MigrationProgress): MigrationProgress {
  return { ...before, fractionDone: larger(before.fractionDone, SHARE_BEFORE_SWITCHOVER) };
}

/** Progress as the source tells it to the destination, which counts by itself what is on the wire. */
export function adopt(before: MigrationProgress, told: MigrationProgress): MigrationProgress {
  return {
    ...told,
    memoryTotalBytes: larger(before.memoryTotalBytes, told.memoryTotalBytes),
    memoryProcessedBytes: larger(before.memoryProcessedBytes, told.memoryProcessedBytes),
    iteration: larger(before.iteration, told.iteration),
    fractionDone: larger(before.fractionDone, told.fractionDone),
    wireBytes: before.wireBytes,
    stalledMs: before.stalledMs,
  };
}

/**
 * Progress of a migration that has succeeded. The last look may have been before its last pass, or never, so what the
 * hypervisor and the transfer do not tell at the end is not known.
 */
export function complete(
  before: MigrationProgress,
  figures: ArrivalFigures | undefined,
  transfer: TransferStatus | undefined,
): MigrationProgress {
  const counts = countsOf(transfer);
  return {
    ...before,
    memoryProcessedBytes: atLeast(before.memoryProcessedBytes, figures?.memoryProcessedBytes),
    iteration: atLeast(before.iteration, figures?.iterations),
    wireBytes: atLeast(before.wireBytes, counts?.wireBytes),
    stalledMs: atLeast(before.stalledMs, counts?.stalledMs),
    memoryRemainingBytes: 0n,
    memoryBytesPerSecond: 0n,
    dirtyBytesPerSecond: 0n,
    estimatedMsLeft: 0,
    fractionDone: 1,
  };
}

/** Progress of a migration that has ended before its time: nothing moves any more, and nothing is left to be waited for. */
export function halt(before: MigrationProgress): MigrationProgress {
  return {
    ...before,
    memoryBytesPerSecond: 0n,
    dirtyBytesPerSecond: 0n,
    estimatedMsLeft: undefined,
  };
}

/** Progress of a migration that goes on while nobody can see how far it gets. That nothing is done is not known any more. */
export function loseSight(before: MigrationProgress): MigrationProgress {
  return {
    ...before,
    memoryRemainingBytes: undefined,
    memoryBytesPerSecond: undefined,
    dirtyBytesPerSecond: undefined,
    estimatedMsLeft: undefined,
    fractionDone: before.fractionDone === 0 ? undefined : before.fractionDone,
  };
}

/** Time to copy what remains while the guest goes on writing; undefined when it writes faster than is copied. */
function estimateMs(remaining: bigint, rate: bigint, dirtyRate: bigint): number | undefined {
  const gain = Number(rate - dirtyRate);
  return gain > 0 ? Math.round((Number(remaining) / gain) * 1000) : undefined;
}

/** The larger of what is known. */
function larger<T extends bigint | number>(
  left: T | undefined,
  right: T | undefined,
): T | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return left > right ? left : right;
}

/** What a figure is in the end, if that is known: not less than it was before. */
function atLeast<T extends bigint | number>(
  before: T | undefined,
  end: T | undefined,
): T | undefined {
  return end === undefined ? undefined : larger(before, end);
}
