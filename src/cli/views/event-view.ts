import { type Event, EventType } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import {
  type Document,
  enumWord,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import type { ResourceView } from '../output/resource-view.ts';

export function eventTypeWord({ type }: Event): string {
  return enumWord(EventType, 'EVENT_TYPE', type) ?? 'Unknown';
}

export function eventVmName({ virtualMachine }: Event): string {
  return `${virtualMachine?.namespace || 'default'}/${virtualMachine?.name ?? ''}`;
}

/** When it last happened, in milliseconds since 1970. */
export function lastTimeMs({ lastTime }: Event): number {
  return lastTime === undefined ? 0 : timestampMs(lastTime);
}

/** As `kubectl get events` has it. */
export function eventView(nowMs: number): ResourceView<Event> {
  return {
    columns: [
      { header: 'LAST SEEN', value: (event) => lastSeen(event, nowMs) },
      { header: 'TYPE', value: eventTypeWord },
      { header: 'REASON', value: ({ reason }) => reason },
      { header: 'VM', value: eventVmName },
      { header: 'CAUSE', wide: true, value: ({ cause }) => cause },
      { header: 'BY', wide: true, value: ({ requestedBy }) => requestedBy },
      { header: 'COUNT', wide: true, value: ({ count }) => String(count) },
      { header: 'FIRST SEEN', wide: true, value: (event) => formatAge(nowMs - firstTimeMs(event)) },
      { header: 'OPERATION', wide: true, value: ({ operationId }) => operationId },
      { header: 'MIGRATION', wide: true, value: ({ migrationId }) => migrationId },
      { header: 'MESSAGE', value: ({ message }) => message },
    ],
    document: eventDocument,
    name: ({ id }) => id,
  };
}

/** `12s`, or `12s (x5 over 3m)` of one that has happened several times. */
export function lastSeen(event: Event, nowMs: number): string {
  return `${formatAge(nowMs - lastTimeMs(event))}${timesText(event)}`;
}

/** ` (x5 over 3m)`; empty of one that has happened once. */
export function timesText(event: Event): string {
  const { count } = event;
  if (count < 2) return '';
  return ` (x${count} over ${formatAge(lastTimeMs(event) - firstTimeMs(event))})`;
}

function firstTimeMs({ firstTime }: Event): number {
  return firstTime === undefined ? 0 : timestampMs(firstTime);
}

export function eventDocument(event: Event): Document {
  const { virtualMachine } = event;
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Event',
    id: event.id,
    virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
    type: eventTypeWord(event),
    reason: event.reason,
    message: event.message,
    cause: event.cause,
    requestedBy: event.requestedBy,
    firstTime: timestampText(event.firstTime),
    lastTime: timestampText(event.lastTime),
    count: event.count,
    operationId: event.operationId,
    migrationId: event.migrationId,
    origin: originDocument(event.origin),
  });
}
