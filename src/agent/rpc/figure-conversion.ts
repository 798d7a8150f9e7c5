import { fieldPath, knownFigures } from '../../client/known-figures.ts';
import { toDuration } from '../../client/time.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import {
  MigrationProgress as MigrationProgressMessage,
  MigrationResult as MigrationResultMessage,
} from '../../gen/novacron/agent/v1/migration.ts';
import type { MigrationProgress, MigrationResult } from '../migration/migration.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { fromDuration } from './time-conversion.ts';

export function toProgress(progress: MigrationProgress): MigrationProgressMessage {
  return MigrationProgressMessage.create(
    naming({
      memoryTotalBytes: optionalBytes(progress.memoryTotalBytes),
      memoryProcessedBytes: optionalBytes(progress.memoryProcessedBytes),
      memoryRemainingBytes: optionalBytes(progress.memoryRemainingBytes),
      memoryBytesPerSecond: optionalBytes(progress.memoryBytesPerSecond),
      dirtyBytesPerSecond: optionalBytes(progress.dirtyBytesPerSecond),
      iteration: optionalCount(progress.iteration),
      wireBytes: optionalBytes(progress.wireBytes),
      estimatedTimeLeft: optionalDuration(progress.estimatedMsLeft),
      fractionDone: progress.fractionDone,
      stalled: optionalDuration(progress.stalledMs),
      channels: progress.channels.map((channel) => ({ ...channel })),
    }),
  );
}

export function toResult(result: MigrationResult): MigrationResultMessage {
  return MigrationResultMessage.create(
    naming({
      totalTime: optionalDuration(result.totalMs),
      downtime: optionalDuration(result.downtimeMs),
      memoryProcessedBytes: optionalBytes(result.memoryProcessedBytes),
      wireBytes: optionalBytes(result.wireBytes),
      iterations: optionalCount(result.iterations),
      reconnects: optionalCount(result.reconnects),
    }),
  );
}

// A VM has far fewer volumes.
const MAX_CHANNELS = 64;
const MAX_NAME_BYTES = 128;

export function fromProgress(
  message: MigrationProgressMessage = MigrationProgressMessage.create(),
  checks: FieldChecks,
): MigrationProgress {
  const { estimatedTimeLeft, stalled, fractionDone, ...known } = knownFigures(message);
  if (message.channels.length > MAX_CHANNELS) {
    checks.add('progress.channels', `must be at most ${MAX_CHANNELS}`);
  }
  for (const { name } of message.channels) checks.text('progress.channels', name, MAX_NAME_BYTES);
  if (fractionDone !== undefined && !(fractionDone >= 0 && fractionDone <= 1)) {
    checks.add('progress.fractionDone', 'must be from 0 to 1');
  }
  return {
    ...known,
    estimatedMsLeft: estimatedTimeLeft && fromDuration(estimatedTimeLeft),
    fractionDone,
    stalledMs: stalled && fromDuration(stalled),
    channels: message.channels.map((channel) => ({ ...channel })),
  };
}

export function fromResult(message: MigrationResultMessage): MigrationResult {
  const { totalTime, downtime, ...known } = knownFigures(message);
  return {
    ...known,
    totalMs: totalTime && fromDuration(totalTime),
    downtimeMs: downtime && fromDuration(downtime),
  };
}

type Known<T> = { readonly [Name in keyof T]?: Exclude<T[Name], undefined> };

/** What is known, and the names of what is not, since a number of proto3 without a label cannot be missing. */
function naming<T extends object>(figures: T): Known<T> & { readonly unknown?: string[] } {
  const { known = [], missing = [] } = Object.groupBy(Object.entries(figures), ([, value]) =>
    value === undefined ? 'missing' : 'known',
  );
  const unknown = missing.map(([name]) => fieldPath(name));
  return { ...(Object.fromEntries(known) as Known<T>), ...(unknown.length > 0 && { unknown }) };
}

export function optionalDuration(milliseconds: number | undefined): Duration | undefined {
  return milliseconds === undefined ? undefined : toDuration(milliseconds);
}

function optionalBytes(bytes: bigint | undefined): bigint | undefined {
  return bytes === undefined ? undefined : toUint64(bytes);
}

function optionalCount(count: number | undefined): number | undefined {
  return count === undefined ? undefined : toUint32(count);
}
