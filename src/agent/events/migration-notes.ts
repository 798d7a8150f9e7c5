import { camelCase } from '../../core/camel-case.ts';
import type { Migration } from '../migration/migration.ts';
import { isFinal } from '../migration/states.ts';
import type { EventNote } from './event.ts';
import type { Told } from './operation-notes.ts';

/** How much of a migration there is to tell: 1 that it has begun, 2 its end. */
export function tellableOf({ phase }: Migration): Told {
  return isFinal(phase) ? 2 : 1;
}

/** What a migration has come to, on either side, that was not told yet. */
export function migrationNotes(migration: Migration, told: Told): readonly EventNote[] {
  const { spec, id, phase, startedAtMs } = migration;
  const { namespace, name, uid = '' } = spec.vm;
  const about = { vm: { namespace, name, uid }, migrationId: id, cause: causeOf(migration) };
  const began: EventNote = {
    ...about,
    reason: 'MigrationBegan',
    message: `Its migration ${wayOf(migration)} has begun`,
    atMs: startedAtMs,
  };
  // One that was recorded at its end has never begun.
  if (told === 0 && migration.phases.length === 1 && isFinal(phase)) return [];
  const notes = told === 0 ? [began] : [];
  if (!isFinal(phase)) return notes;
  return [...notes, { ...about, ...endOf(migration), atMs: migration.endedAtMs ?? startedAtMs }];
}

function endOf(migration: Migration): Pick<EventNote, 'reason' | 'message' | 'cause'> {
  const { role, phase, reason, message, sourceNode, destinationNode } = migration;
  if (phase === 'completed') {
    const where =
      role === 'source'
        ? `It has moved to node ${destinationNode}, which owns it from now on`
        : `It has come from node ${sourceNode}, and this node owns it from now on`;
    return { reason: 'MigrationSucceeded', message: where };
  }
  const stays =
    role === 'source'
      ? 'it stays here'
      : `it stays on node ${sourceNode} as far as this node knows`;
  const why = message === '' ? '' : `: ${message}`;
  if (phase === 'cancelled') {
    return {
      reason: 'MigrationCancelled',
      message: `Its migration ${wayOf(migration)} was cancelled, ${stays}`,
    };
  }
  return {
    reason: 'MigrationFailed',
    message: `Its migration ${wayOf(migration)} has failed, ${stays}${why}`,
    ...(reason !== undefined && { cause: camelCase(reason) }),
  };
}

function wayOf({ role, sourceNode, destinationNode }: Migration): string {
  return role === 'source' ? `to node ${destinationNode}` : `from node ${sourceNode}`;
}

/** From which side it is told. */
function causeOf({ role }: Migration): string {
  return role === 'source' ? 'Outgoing' : 'Incoming';
}
