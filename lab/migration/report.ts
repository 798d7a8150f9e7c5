import { formatDuration } from '../../src/cli/output/durations.ts';
import { formatBytes } from '../../src/cli/output/quantities.ts';
import { orUnknown } from '../../src/cli/views/migration-view.ts';
import type { GuestCheck, Switchover } from './switchover.ts';

/** What a migration came to: what the agent says, and what the guest itself saw. */
export interface MigrationReport {
  /** What the agent does not know is undefined. */
  readonly totalMs: number | undefined;
  readonly downtimeMs: number | undefined;
  readonly memoryBytes: bigint | undefined;
  readonly wireBytes: bigint | undefined;
  readonly iterations: number | undefined;
  readonly switchover: Switchover;
  readonly memory: GuestCheck;
  readonly disk: GuestCheck;
}

export function isSuccess(report: MigrationReport): boolean {
  const { lost, duplicated } = report.switchover;
  const checks = [report.memory, report.disk];
  return checks.every((check) => check === 'verified') && lost === 0 && duplicated === 0;
}

export function formatReport(report: MigrationReport): string {
  const { switchover, memoryBytes, wireBytes } = report;
  const ratio = memoryBytes && wireBytes && Number(memoryBytes) / Number(wireBytes);
  const rows = [
    ['Total time', orUnknown(report.totalMs, formatDuration)],
    ['Downtime, as libvirt counts it', orUnknown(report.downtimeMs, formatDuration)],
    ["Downtime, in the guest's own counter", formatDuration(switchover.gapMs)],
    ['Counts of the guest', describeCounts(switchover)],
    [
      'Memory moved',
      `${orUnknown(memoryBytes, formatBytes)} in ${orUnknown(report.iterations, String)} passes`,
    ],
    ['Bytes on the wire, encrypted', orUnknown(wireBytes, formatBytes)],
    ['Ratio', orUnknown(ratio || undefined, (known) => `${known.toFixed(2)} to 1`)],
    [
      'Check by the guest after it arrived',
      `${describeCheck('memory', report.memory)}, ${describeCheck('disk', report.disk)}`,
    ],
  ] as const;
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`).join('\n');
}

function describeCheck(what: string, check: GuestCheck): string {
  if (check === 'damaged') return `${what.toUpperCase()} DAMAGED`;
  return check === 'verified'
    ? `${what} verified`
    : `${what} not verified: the check has not ended`;
}

function describeCounts(switchover: Switchover): string {
  const { lastAtSource, firstAtDestination, lost, duplicated } = switchover;
  const seam = `${lastAtSource} at the source, ${firstAtDestination} at the destination`;
  return lost === 0 && duplicated === 0
    ? `none lost, none twice (${seam})`
    : `${lost} LOST, ${duplicated} TWICE (${seam})`;
}
