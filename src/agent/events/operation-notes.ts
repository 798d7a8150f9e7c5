import { camelCase } from '../../core/camel-case.ts';
import {
  hasEnded,
  isOfNode,
  type OperationRecord,
  type VmOperationKind,
} from '../operations/operation.ts';
import { isByAgent } from '../operations/requester.ts';
import type { EventNote } from './event.ts';

/** What is asked for, to go on after "it shall" or "it could not". */
const DEEDS: Readonly<Record<VmOperationKind, string>> = {
  create: 'be created',
  apply: 'be as a manifest says',
  adopt: 'be adopted',
  start: 'be started',
  shutdown: 'be shut down',
  destroy: 'have its power cut',
  suspend: 'be suspended',
  resume: 'go on',
  reset: 'be reset',
  reboot: 'be rebooted',
  restart: 'be restarted',
  eject: 'have a medium ejected',
  insert: 'have a medium inserted',
  delete: 'be deleted',
  migrate: 'be migrated',
};

/** How much of an operation is told: 0 nothing, 1 that it was asked for, 2 its end. */
export type Told = 0 | 1 | 2;

/** How much of an operation there is to tell. */
export function tellable(record: OperationRecord): Told {
  return hasEnded(record) ? 2 : 1;
}

/** What an operation has come to that was not told yet. Of what the agent asks for by itself only failures. */
export function operationNotes(record: OperationRecord, told: Told): readonly EventNote[] {
  const { kind, requestedBy, requestedAtMs, startedAtMs } = record;
  if (isOfNode(kind)) return [];
  // A migration tells its end itself.
  const isToBeTold = told < 2 && hasEnded(record) && kind !== 'migrate';
  const end = isToBeTold ? endOf(record, DEEDS[kind]) : undefined;
  // There was nothing to do.
  const isIdle = record.state === 'succeeded' && startedAtMs === undefined;
  if (told > 0 || isByAgent(requestedBy) || isIdle) return end === undefined ? [] : [end];
  const request: EventNote = {
    ...aboutOf(record),
    reason: 'Requested',
    message: `${requestedBy} wants it to ${DEEDS[kind]}`,
    cause: camelCase(kind),
    atMs: requestedAtMs,
  };
  return end === undefined ? [request] : [request, end];
}

function endOf(record: OperationRecord, deed: string): EventNote | undefined {
  const { kind, state, requestedBy, result, error, startedAtMs } = record;
  const about = { ...aboutOf(record), atMs: record.endedAtMs ?? record.requestedAtMs };
  switch (state) {
    case 'failed': {
      const { reason = 'INTERNAL', message = '' } = error ?? {};
      const cause = camelCase(reason);
      return {
        ...about,
        reason: 'RequestFailed',
        message: `It could not ${deed}: ${message}`,
        cause,
      };
    }
    case 'cancelled': {
      const message = `It is no longer to ${deed}: that was cancelled`;
      return { ...about, reason: 'RequestCancelled', message, cause: camelCase(kind) };
    }
    case 'superseded': {
      const message = `It is no longer to ${deed}: something else was asked for since`;
      return { ...about, reason: 'RequestSuperseded', message, cause: camelCase(kind) };
    }
    default:
  }
  if (kind === 'delete' && result === 'DELETED') {
    return { ...about, reason: 'Deleted', message: `It was deleted as ${requestedBy} wanted it` };
  }
  if (kind === 'reset' && startedAtMs !== undefined) {
    return { ...about, reason: 'Reset', message: `It was reset as ${requestedBy} wanted it` };
  }
  return undefined;
}

function aboutOf({ vm, id, kind, requestedBy }: OperationRecord) {
  const { namespace, name, uid } = vm;
  const ids = kind === 'migrate' ? { operationId: id, migrationId: id } : { operationId: id };
  return { vm: { namespace, name, uid }, requestedBy, ...ids };
}

/** Whether this is the end of an operation that has made its VM, or has made it one of this node. */
export function hasCreated({ kind, state, result, startedAtMs }: OperationRecord): boolean {
  if (state !== 'succeeded' || startedAtMs === undefined) return false;
  return kind === 'create' || kind === 'adopt' || (kind === 'apply' && result === 'CREATED');
}

export function creationOf(record: OperationRecord): EventNote {
  const { requestedBy } = record;
  const atMs = record.endedAtMs ?? record.requestedAtMs;
  const isAdopted = record.kind === 'adopt';
  const message = `It was ${isAdopted ? 'adopted' : 'created'} as ${requestedBy} wanted it`;
  return { ...aboutOf(record), reason: isAdopted ? 'Adopted' : 'Created', message, atMs };
}
