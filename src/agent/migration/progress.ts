import type { JobStatistics } from '../../drivers/hypervisor-jobs.ts';
import type { TransferStatus } from '../../drivers/transfers.ts';
import type { ArrivalFigures, MigrationProgress } from './migration.ts';

export const NO_PROGRESS: MigrationProgress = {
  memoryTotalBytes: 0n,
  memoryProcessedBytes: 0n,
  memoryRemainingBytes: 0n,
  memoryBytesPerSecond: 0n,
  dirtyBytesPerSecond: 0n,
  iteration: 0,
  wireBytes: 0n,
  estimatedMsLeft: undefined,
  fractionDone: 0,
  stalledMs: 0,
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
  const wire =
    transfer === undefined
      ? 0n
      : BigInt(transfer.wireBytesSent) + BigInt(transfer.wireBytesReceived);
  const moved = {
    ...before,
    wireBytes: larger(before.wireBytes, wire),
    stalledMs: Math.max(before.stalledMs, transfer?.stalledMs ?? 0),
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
    iteration: Math.max(before.iteration, job.iteration),
    estimatedMsLeft: estimateMs(
      job.memoryRemainingBytes,
      job.memoryBytesPerSecond,
      dirtyBytesPerSecond,
    ),
    fractionDone: Math.max(before.fractionDone, Math.min(1, done) * SHARE_BEFORE_SWITCHOVER),
    channels: job.disks === undefined ? before.channels : [{ name: 'volumes', ...job.disks }],
  };
}

/** Progress of a migration that has succeeded. The last look may have been before its last pass, or never. */
export function complete(
  before: MigrationProgress,
  figures: ArrivalFigures | undefined,
): MigrationProgress {
  return {
    ...before,
    memoryProcessedBytes: larger(before.memoryProcessedBytes, figures?.memoryProcessedBytes ?? 0n),
    iteration: Math.max(before.iteration, figures?.iterations ?? 0),
    memoryRemainingBytes: 0n,
    memoryBytesPerSecond: 0n,
    dirtyBytesPerSecond: 0n,
    estimatedMsLeft: 0,
    fractionDone: 1,
  };
}

/** Time to copy what remains while the guest goes on writing; undefined when it writes faster than is copied. */
function estimateMs(remaining: bigint, rate: bigint, dirtyRate: bigint): number | undefined {
  const gain = Number(rate - dirtyRate);
  return gain > 0 ? Math.round((Number(remaining) / gain) * 1000) : undefined;
}

function larger(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
