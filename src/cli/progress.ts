import type { Migration, MigrationProgress } from '../client/api.ts';
import { durationMs } from '../client/time.ts';
import { formatDuration } from './durations.ts';
import { migrationPhaseWord, migrationVmName } from './migration-view.ts';
import { formatBytes, formatRate } from './quantities.ts';
import { printable } from './table.ts';

const BAR_WIDTH = 20;

/** `[#########-----------]`; a fraction outside 0 to 1 counts as the nearer end. */
export function progressBar(fraction: number, width: number = BAR_WIDTH): string {
  const filled = Math.floor(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

/** One line about a running migration, cut to the terminal's width. */
export function progressLine(migration: Migration, columns: number): string {
  const { status } = migration;
  const phase = migrationPhaseWord(status?.phase ?? 0);
  const progress = status?.progress;
  const parts =
    progress === undefined
      ? [phase, status?.message ?? '']
      : [
          phase.padEnd(13),
          `${progressBar(progress.fractionDone)} ${percent(progress)}`,
          ...progressParts(progress),
        ];
  return printable(parts.filter((part) => part !== '').join('  ')).slice(
    0,
    Math.max(0, columns - 1),
  );
}

/** One line for a log, all of it. */
export function progressLogLine(migration: Migration): string {
  const { status } = migration;
  const phase = migrationPhaseWord(status?.phase ?? 0);
  const progress = status?.progress;
  const parts =
    progress === undefined ? [] : [percent(progress).trim(), ...progressParts(progress)];
  return printable(
    [phase, ...parts, status?.message ?? ''].filter((part) => part !== '').join(', '),
  );
}

function percent({ fractionDone }: MigrationProgress): string {
  return `${Math.floor(fractionDone * 100)}%`.padStart(4);
}

function progressParts(progress: MigrationProgress): string[] {
  const left = progress.estimatedTimeLeft;
  const stalledMs = progress.stalled === undefined ? 0 : durationMs(progress.stalled);
  return [
    `${formatBytes(progress.memoryProcessedBytes)} of ${formatBytes(progress.memoryTotalBytes)}`,
    formatRate(progress.memoryBytesPerSecond),
    `dirty ${formatRate(progress.dirtyBytesPerSecond)}`,
    `pass ${progress.iteration}`,
    left === undefined ? '' : `about ${formatDuration(durationMs(left))} left`,
    stalledMs === 0 ? '' : `link was down ${formatDuration(stalledMs)}`,
  ].filter((part) => part !== '');
}

/** What a migration that has ended came to, in a sentence or two. */
export function resultText(migration: Migration): string {
  const { status } = migration;
  const phase = migrationPhaseWord(status?.phase ?? 0);
  const vm = `VM ${migrationVmName(migration)}`;
  if (phase === 'Completed')
    return `${vm} runs on node ${status?.destinationNode}${figures(migration)}`;
  const why = [status?.message, status?.reason && `(${status.reason})`].filter(Boolean).join(' ');
  const ended = phase === 'Cancelled' ? 'was cancelled' : 'failed';
  return `Migration ${migration.id} ${ended}${why === '' ? '' : `: ${printable(why)}`}; ${vm} stays on node ${status?.sourceNode}`;
}

function figures({ status }: Migration): string {
  const result = status?.result;
  if (result === undefined) return '';
  const reconnects = result.reconnects === 0 ? '' : `, ${result.reconnects} reconnects`;
  const parts = [
    result.totalTime && `${formatDuration(durationMs(result.totalTime))} in all`,
    result.downtime && `${formatDuration(durationMs(result.downtime))} downtime`,
    `${formatBytes(result.memoryProcessedBytes)} of memory in ${result.iterations} passes`,
    `${formatBytes(result.wireBytes)} on the wire${reconnects}`,
  ];
  return `: ${parts.filter(Boolean).join(', ')}`;
}
