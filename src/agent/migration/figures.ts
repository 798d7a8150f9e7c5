import type { HypervisorJobs, JobStatistics } from '../../drivers/hypervisor-jobs.ts';
import type { TransferStatus } from '../../drivers/transfers.ts';
import type { ArrivalFigures, MigrationResult } from './migration.ts';
import type { MigrationRecord } from './migration-record.ts';

/** The figures of a job that has moved a VM. */
export function figuresOf(job: JobStatistics): ArrivalFigures {
  const { downtimeMs, elapsedMs, iteration, memoryTotalBytes, memoryProcessedBytes } = job;
  return {
    downtimeMs,
    elapsedMs,
    // Statistics of memory that are all zero were never told.
    memoryProcessedBytes: memoryTotalBytes === 0n ? undefined : memoryProcessedBytes,
    iterations: iteration === 0 ? undefined : iteration,
  };
}

/** What a transfer has counted up to its end; undefined if it cannot be asked, or was gone before it could say. */
export function countsOf(
  transfer: TransferStatus | undefined,
):
  | { readonly wireBytes: bigint; readonly stalledMs: number; readonly reconnects: number }
  | undefined {
  if (transfer === undefined || transfer.state === 'lost') return undefined;
  const { wireBytesSent, wireBytesReceived, stalledMs, reconnects } = transfer;
  return { wireBytes: BigInt(wireBytesSent) + BigInt(wireBytesReceived), stalledMs, reconnects };
}

/** What is known of either; where both know, the newer. */
export function withKnown<T extends object>(older: T | undefined, newer: T): T {
  if (older === undefined) return newer;
  const known = Object.entries(newer).filter(([, value]) => value !== undefined);
  return { ...older, ...Object.fromEntries(known) };
}

/** What a migration has come to, as far as it is known. */
export function resultOf({
  totalMs,
  figures,
  transfer,
}: {
  readonly totalMs: number | undefined;
  readonly figures: ArrivalFigures | undefined;
  readonly transfer: TransferStatus | undefined;
}): MigrationResult {
  const counts = countsOf(transfer);
  return {
    totalMs,
    downtimeMs: figures?.downtimeMs,
    memoryProcessedBytes: figures?.memoryProcessedBytes,
    wireBytes: counts?.wireBytes,
    iterations: figures?.iterations,
    reconnects: counts?.reconnects,
  };
}

/**
 * The total time of a migration at its source. Where nobody there saw the end it is the time up to the copying, by the
 * record, and libvirt's own from there on.
 */
export function totalMsOf(
  { phases, startedAtMs }: MigrationRecord,
  endSeenAtMs: number | undefined,
  figures: ArrivalFigures | undefined,
): number | undefined {
  if (endSeenAtMs !== undefined) return endSeenAtMs - startedAtMs;
  const copying = phases.find(({ phase }) => phase === 'copying');
  if (copying === undefined || figures?.elapsedMs === undefined) return undefined;
  return copying.startedAtMs - startedAtMs + figures.elapsedMs;
}

/** What the hypervisor of the destination knows of the job that has brought a VM; undefined if it cannot be asked. */
export async function readFigures(
  jobs: Pick<HypervisorJobs, 'getCompletedJob'>,
  vmUid: string,
  signal: AbortSignal,
): Promise<ArrivalFigures | undefined> {
  const job = await jobs.getCompletedJob(vmUid, signal).catch(() => undefined);
  return job?.operation === 'migration-in' ? figuresOf(job) : undefined;
}
