import {
  type Duration,
  type Migration,
  MigrationMode,
  MigrationPhase,
  type MigrationProgress,
  type MigrationResult,
  MigrationRole,
  type MigrationSpec,
} from '../../client/api.ts';
import { knownFigures } from '../../client/known-figures.ts';
import { durationMs, timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import {
  type Document,
  durationText,
  enumWord,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge, formatDuration } from '../output/durations.ts';
import { formatBytes } from '../output/quantities.ts';
import type { ResourceView } from '../output/resource-view.ts';
import type { ChangeWords } from './watch-event.ts';

export function migrationPhaseWord(phase: MigrationPhase): string {
  return enumWord(MigrationPhase, 'MIGRATION_PHASE', phase) ?? 'Unknown';
}

export function migrationVmName(migration: Migration): string {
  const vm = migration.spec?.virtualMachine;
  return `${vm?.namespace || 'default'}/${vm?.name ?? ''}`;
}

export function migrationView(nowMs: number): ResourceView<Migration> {
  return {
    columns: [
      { header: 'ID', value: (migration) => migration.id },
      { header: 'VM', value: migrationVmName },
      { header: 'FROM', value: ({ status }) => status?.sourceNode ?? '' },
      { header: 'TO', value: ({ status }) => status?.destinationNode ?? '' },
      { header: 'PHASE', value: ({ status }) => migrationPhaseWord(status?.phase ?? 0) },
      { header: 'DONE', value: done },
      { header: 'AGE', value: (migration) => ageOf(migration, nowMs) },
      { header: 'TOOK', wide: true, value: took },
      { header: 'DOWNTIME', wide: true, value: downtime },
      {
        header: 'WIRE',
        wide: true,
        value: wire,
      },
      { header: 'REASON', wide: true, value: ({ status }) => status?.reason ?? '' },
      { header: 'MESSAGE', wide: true, value: ({ status }) => status?.message ?? '' },
    ],
    document: migrationDocument,
    name: (migration) => migration.id,
  };
}

export const MIGRATION_CHANGE_WORDS: ChangeWords<Migration> = {
  name: ({ id }) => id,
  state: changeState,
  message: ({ status }) => status?.message ?? '',
  document: migrationDocument,
};

/** `default/web node-a -> node-b Copying 50%`. */
function changeState(migration: Migration): string {
  const { sourceNode, destinationNode, phase = 0, progress } = migration.status ?? {};
  const share = progress === undefined ? undefined : knownFigures(progress).fractionDone;
  const way = `${sourceNode} -> ${destinationNode}`;
  const words = [migrationVmName(migration), way, migrationPhaseWord(phase)];
  return [...words, ...(share === undefined ? [] : [percent(share)])].join(' ');
}

function done({ status }: Migration): string {
  return orUnknown(status?.progress && knownFigures(status.progress).fractionDone, percent);
}

function wire({ status }: Migration): string {
  return orUnknown(status?.progress && knownFigures(status.progress).wireBytes, formatBytes);
}

function percent(fraction: number): string {
  return `${Math.floor(fraction * 100)}%`;
}

/** What nobody has measured is not shown as 0. */
export function orUnknown<T>(figure: T | undefined, format: (figure: T) => string): string {
  return figure === undefined ? 'unknown' : format(figure);
}

function ageOf({ status }: Migration, nowMs: number): string {
  const started = status?.startTime;
  return started === undefined ? '' : formatAge(nowMs - timestampMs(started));
}

/** Of a completed one without the clearing away, and without any time in which nobody looked. */
function took({ status }: Migration): string {
  if (status?.result !== undefined) return orUnknown(status.result.totalTime, formatTime);
  if (status?.startTime === undefined || status.endTime === undefined) return '';
  return formatDuration(timestampMs(status.endTime) - timestampMs(status.startTime));
}

function downtime({ status }: Migration): string {
  return status?.result === undefined ? '' : orUnknown(status.result.downtime, formatTime);
}

export function formatTime(duration: Duration): string {
  return formatDuration(durationMs(duration));
}

function migrationDocument({ id, labels, spec, status }: Migration): Document {
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Migration',
    id,
    labels,
    spec: spec && specDocument(spec),
    status:
      status &&
      withoutEmpty({
        ...status,
        phase: migrationPhaseWord(status.phase),
        role: enumWord(MigrationRole, 'MIGRATION_ROLE', status.role),
        mode: enumWord(MigrationMode, 'MIGRATION_MODE', status.mode),
        startTime: timestampText(status.startTime),
        endTime: timestampText(status.endTime),
        progress: status.progress && progressDocument(status.progress),
        result: status.result && resultDocument(status.result),
        phases: status.phases.map(({ phase, startTime }) =>
          withoutEmpty({ phase: migrationPhaseWord(phase), startTime: timestampText(startTime) }),
        ),
        origin: originDocument(status.origin),
      }),
  });
}

function specDocument(spec: MigrationSpec): Document {
  const { virtualMachine, destination, limits, trustShared } = spec;
  return withoutEmpty({
    virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
    destination: destination && withoutEmpty({ ...destination }),
    limits:
      limits &&
      withoutEmpty({
        maxDowntime: durationText(limits.maxDowntime),
        bandwidth: limits.bandwidth,
        timeout: durationText(limits.timeout),
      }),
    trustShared,
  });
}

function progressDocument(progress: MigrationProgress): Document {
  const known = knownFigures(progress);
  return withoutEmpty({
    ...known,
    estimatedTimeLeft: durationText(known.estimatedTimeLeft),
    stalled: durationText(known.stalled),
    channels: progress.channels.map((channel) => withoutEmpty({ ...channel })),
    unknown: namesOfUnknown(known),
  });
}

function resultDocument(result: MigrationResult): Document {
  const known = knownFigures(result);
  return withoutEmpty({
    ...known,
    totalTime: durationText(known.totalTime),
    downtime: durationText(known.downtime),
    unknown: namesOfUnknown(known),
  });
}

function namesOfUnknown(known: object): readonly string[] {
  return Object.entries(known)
    .filter(([, value]) => value === undefined)
    .map(([name]) => name);
}
