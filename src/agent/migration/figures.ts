import type { JobStatistics } from '../../drivers/hypervisor-jobs.ts';
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

/** What a migration has come to, as its source knows it. `endSeenAtMs` is undefined if nobody here saw the end. */
export function resultOf(
  record: MigrationRecord,
  seen: {
    readonly endSeenAtMs: number | undefined;
    readonly figures: ArrivalFigures | undefined;
    readonly transfer: TransferStatus | undefined;
  },
): MigrationResult {
  const { endSeenAtMs, figures, transfer } = seen;
  const counts = countsOf(transfer);
  const measured = measuredMs(record, figures);
  return {
    totalMs: endSeenAtMs === undefined ? measured : endSeenAtMs - record.startedAtMs,
    downtimeMs: figures?.downtimeMs,
    memoryProcessedBytes: figures?.memoryProcessedBytes,
    wireBytes: counts?.wireBytes,
    iterations: figures?.iterations,
    reconnects: counts?.reconnects,
  };
}

/** The total time by the record of when the copying began and libvirt's own time from there on. */
function measuredMs(
  { phases, startedAtMs }: MigrationRecord,
  figures: ArrivalFigures | undefined,
): number | undefined {
  const copying = phases.find(({ phase }) => phase === 'copying');
  if (copying === undefined || figures?.elapsedMs === undefined) return undefined;
  return copying.startedAtMs - startedAtMs + figures.elapsedMs;
}
