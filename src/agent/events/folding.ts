import { randomUUID } from 'node:crypto';
import type { EventNote, EventRecord } from './event.ts';
import { EVENT_REASONS } from './event-reasons.ts';

/** What happens again so soon after the last time is counted, as Kubernetes does. */
const SAME_WITHIN_MS = 600_000;

/** What two events have in common that are one which has happened twice. */
export function sameKeyOf(
  event: Pick<EventRecord, 'vm' | 'reason' | 'cause' | 'requestedBy' | 'sameAs'>,
): string {
  const { vm, reason, cause, requestedBy, sameAs } = event;
  return JSON.stringify([vm.uid, reason, cause, requestedBy, sameAs]);
}

/** An event that has happened for the first time. */
export function firstOf(note: EventNote): EventRecord {
  const { vm, reason, message, atMs } = note;
  const { cause = '', requestedBy = '', operationId = '', migrationId = '' } = note;
  return {
    id: randomUUID(),
    vm,
    type: EVENT_REASONS[reason],
    reason,
    message,
    cause,
    requestedBy,
    firstAtMs: atMs,
    lastAtMs: atMs,
    count: 1,
    operationId,
    migrationId,
    sameAs: note.sameAs ?? message,
  };
}

/** The same event once it has happened again; undefined if that was long after, so that it is another one. */
export function againOf(last: EventRecord, note: EventNote): EventRecord | undefined {
  // A clock that was put back makes nothing new.
  if (Math.abs(note.atMs - last.lastAtMs) > SAME_WITHIN_MS) return undefined;
  const { operationId = '', migrationId = '', message, atMs } = note;
  const lastAtMs = Math.max(last.lastAtMs, atMs);
  return { ...last, message, lastAtMs, count: last.count + 1, operationId, migrationId };
}
