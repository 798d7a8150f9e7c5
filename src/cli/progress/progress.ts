import type { Migration, MigrationProgress } from '../../client/api.ts';
import { durationMs } from '../../client/time.ts';
import { formatDuration } from '../output/durations.ts';
import { formatBytes, formatRate } from '../output/quantities.ts';
import { printable } from '../output/table.ts';
import { migrationPhaseWord, migrationVmName } from '../views/migration-view.ts';

const BAR_WIDTH = 20;
const MIN_BAR_WIDTH = 4;
const GAP = '  ';
// Some terminals wrap at the last column, and at Ctrl-C they write ^C themselves.
const MARGIN = 3;

/** `[#########-----------]`; a fraction outside 0 to 1 counts as the nearer end. */
export function progressBar(fraction: number, width: number = BAR_WIDTH): string {
  const filled = Math.floor(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

/**
 * One line about a running migration, fitted to the terminal's width: there is a bar and the bytes on the wire where
 * there is room for them, and what is too long all the same is cut.
 */
export function progressLine(migration: Migration, columns: number): string {
  const room = Math.max(0, columns - MARGIN);
  const { status } = migration;
  const phase = migrationPhaseWord(status?.phase ?? 0);
  const progress = status?.progress;
  if (progress === undefined) return joinParts([phase, status?.message ?? '']).slice(0, room);
  const rest = [percent(progress), ...progressParts(progress)];
  const left = room - joinParts([phase, ...rest]).length - GAP.length - '[]'.length;
  const bar =
    left < MIN_BAR_WIDTH ? '' : progressBar(progress.fractionDone, Math.min(left, BAR_WIDTH));
  const line = joinParts([phase, bar, ...rest]);
  const whole = joinParts([line, wirePart(progress)]);
  return (whole.length <= room ? whole : line).slice(0, room);
}

/** One line for a log, all of it. */
export function progressLogLine(migration: Migration): string {
  const { status } = migration;
  const progress = status?.progress;
  const figures =
    progress === undefined
      ? []
      : [percent(progress), ...progressParts(progress), wirePart(progress)];
  const parts = [migrationPhaseWord(status?.phase ?? 0), ...figures, status?.message ?? ''];
  return joinParts(parts, ', ');
}

function joinParts(parts: readonly string[], gap: string = GAP): string {
  return printable(parts.filter((part) => part !== '').join(gap));
}

function percent({ fractionDone }: MigrationProgress): string {
  return `${Math.floor(fractionDone * 100)}%`;
}

function progressParts(progress: MigrationProgress): string[] {
  const left = progress.estimatedTimeLeft;
  const stalledMs = progress.stalled === undefined ? 0 : durationMs(progress.stalled);
  return [
    `${formatBytes(progress.memoryProcessedBytes)}/${formatBytes(progress.memoryTotalBytes)}`,
    formatRate(progress.memoryBytesPerSecond),
    `dirty ${formatRate(progress.dirtyBytesPerSecond)}`,
    `pass ${progress.iteration}`,
    left === undefined ? '' : `${formatDuration(durationMs(left))} left`,
    stalledMs === 0 ? '' : `link was down ${formatDuration(stalledMs)}`,
  ];
}

function wirePart({ wireBytes }: MigrationProgress): string {
  return `${formatBytes(wireBytes)} on the wire`;
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
