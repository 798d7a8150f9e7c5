import type { Migration, MigrationProgress } from '../../client/api.ts';
import { knownFigures } from '../../client/known-figures.ts';
import { durationMs } from '../../client/time.ts';
import { formatDuration } from '../output/durations.ts';
import { formatBytes, formatRate } from '../output/quantities.ts';
import { printable } from '../output/table.ts';
import {
  formatTime,
  migrationPhaseWord,
  migrationVmName,
  orUnknown,
} from '../views/migration-view.ts';

const BAR_WIDTH = 20;
const MIN_BAR_WIDTH = 4;
const GAP = '  ';

/** `[#########-----------]`; a fraction outside 0 to 1 counts as the nearer end. */
export function progressBar(fraction: number, width: number = BAR_WIDTH): string {
  const filled = Math.floor(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]`;
}

/**
 * One line about a running migration, fitted to the room there is: it has a bar and the bytes on the wire where
 * there is room for them, and what is too long all the same is cut.
 */
export function progressLine(migration: Migration, room: number): string {
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

function percent(progress: MigrationProgress): string {
  const { fractionDone } = knownFigures(progress);
  return fractionDone === undefined ? '?%' : `${Math.floor(fractionDone * 100)}%`;
}

/** A figure that is not known is a question mark: the line has no room for more. */
function progressParts(progress: MigrationProgress): string[] {
  const known = knownFigures(progress);
  const left = known.estimatedTimeLeft;
  const stalledMs = known.stalled === undefined ? 0 : durationMs(known.stalled);
  return [
    `${orMark(known.memoryProcessedBytes, formatBytes)}/${orMark(known.memoryTotalBytes, formatBytes)}`,
    orMark(known.memoryBytesPerSecond, formatRate),
    `dirty ${orMark(known.dirtyBytesPerSecond, formatRate)}`,
    `pass ${orMark(known.iteration, String)}`,
    left === undefined ? '' : `${formatTime(left)} left`,
    stalledMs === 0 ? '' : `link was down ${formatDuration(stalledMs)}`,
  ];
}

function wirePart(progress: MigrationProgress): string {
  return `${orMark(knownFigures(progress).wireBytes, formatBytes)} on the wire`;
}

function orMark<T>(figure: T | undefined, format: (figure: T) => string): string {
  return figure === undefined ? '?' : format(figure);
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
  if (status?.result === undefined) return '';
  const { totalTime, downtime, memoryProcessedBytes, iterations, wireBytes, reconnects } =
    knownFigures(status.result);
  const parts = [
    `${orUnknown(totalTime, formatTime)} in all`,
    `${orUnknown(downtime, formatTime)} downtime`,
    `${orUnknown(memoryProcessedBytes, formatBytes)} of memory in ${orUnknown(iterations, String)} passes`,
    `${orUnknown(wireBytes, formatBytes)} on the wire`,
    reconnects === 0 ? '' : `${orUnknown(reconnects, String)} reconnects`,
  ];
  return `: ${parts.filter((part) => part !== '').join(', ')}`;
}
