import { formatBytes, formatMs } from './format.ts';
import type { Switchover } from './switchover.ts';

/** What a migration came to: what the agent says, and what the guest itself saw. */
export interface MigrationReport {
  readonly totalMs: number;
  readonly downtimeMs: number;
  readonly memoryBytes: number;
  readonly wireBytes: number;
  readonly iterations: number;
  readonly switchover: Switchover;
  /** The guest checked all its memory after it arrived and found it whole. */
  readonly isMemoryVerified: boolean;
}

export function isSuccess(report: MigrationReport): boolean {
  const { lost, duplicated } = report.switchover;
  return report.isMemoryVerified && lost === 0 && duplicated === 0;
}

export function formatReport(report: MigrationReport): string {
  const { switchover } = report;
  const ratio = report.wireBytes === 0 ? 0 : report.memoryBytes / report.wireBytes;
  const rows = [
    ['Total time', formatMs(report.totalMs)],
    ['Downtime, as the hypervisor counts', formatMs(report.downtimeMs)],
    ['Silence of the guest at the switchover', formatMs(switchover.gapMs)],
    ['Memory moved', `${formatBytes(report.memoryBytes)} in ${report.iterations} passes`],
    ['On the wire, encrypted', `${formatBytes(report.wireBytes)} (${ratio.toFixed(1)} to 1)`],
    ['Heartbeats', describeHeartbeats(switchover)],
    ['Memory checked by the guest', report.isMemoryVerified ? 'whole' : 'DAMAGED'],
  ] as const;
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `  ${name.padEnd(width)}${value}`).join('\n');
}

function describeHeartbeats(switchover: Switchover): string {
  const { lastAtSource, firstAtDestination, lost, duplicated } = switchover;
  const seam = `${lastAtSource} at the source, ${firstAtDestination} at the destination`;
  return lost === 0 && duplicated === 0
    ? `none lost, none twice (${seam})`
    : `${lost} LOST, ${duplicated} TWICE (${seam})`;
}
