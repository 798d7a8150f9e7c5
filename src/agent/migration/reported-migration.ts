import type { ReportOrigin } from '../reports/report.ts';
import type { Migration, MigrationSpec } from './migration.ts';
import type { MigrationSummary } from './migration-record.ts';
import { NO_PROGRESS } from './progress.ts';

/** A migration as callers see it, by its record. */
export function toMigration(record: MigrationSummary, origin: ReportOrigin): Migration {
  const outgoing = record.role === 'source';
  return {
    id: record.id,
    spec:
      record.spec === undefined
        ? specOf(record, origin.nodeName)
        : { ...record.spec, vm: refOf(record) },
    labels: record.labels,
    role: record.role,
    sourceNode: outgoing ? origin.nodeName : record.peerNode,
    destinationNode: outgoing ? record.peerNode : origin.nodeName,
    phase: record.phase,
    reason: record.reason,
    message: record.message,
    startedAtMs: record.startedAtMs,
    endedAtMs: record.endedAtMs,
    progress: record.progress ?? NO_PROGRESS,
    result: record.result,
    phases: record.phases,
    transport: 'stream',
    mode: 'precopy',
    origin,
  };
}

function refOf(record: MigrationSummary): MigrationSpec['vm'] {
  return { namespace: record.vmNamespace, name: record.vmName, uid: record.vmUid };
}

function specOf(record: MigrationSummary, destinationNode: string): MigrationSpec {
  return {
    vm: refOf(record),
    destinationNode,
    destinationAddress: undefined,
    maxDowntimeMs: undefined,
    bandwidthBitsPerSecond: undefined,
    timeoutMs: undefined,
  };
}
