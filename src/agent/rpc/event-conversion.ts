import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';
import {
  type Event as EventMessage,
  EventType as Type,
  type WatchEventsResponse,
} from '../../gen/novacron/agent/v1/event.ts';
import type { ReportedEvent } from '../events/event.ts';
import type { EventType } from '../events/event-reasons.ts';
import type { WatchEvent } from '../reports/report.ts';
import { toEventType, toOrigin, toRef } from './common-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { fromTimestamp, toTimestamp } from './time-conversion.ts';

const TYPE = {
  normal: Type.EVENT_TYPE_NORMAL,
  warning: Type.EVENT_TYPE_WARNING,
} as const satisfies Record<EventType, Type>;

const MEANINGS: Readonly<Record<number, EventType | 'any'>> = {
  [Type.EVENT_TYPE_UNSPECIFIED]: 'any',
  [Type.EVENT_TYPE_NORMAL]: 'normal',
  [Type.EVENT_TYPE_WARNING]: 'warning',
};

/** Undefined for any. */
export function fromType(type: Type, checks: FieldChecks): EventType | undefined {
  const meaning = checks.oneOf('type', type, MEANINGS, 'any');
  return meaning === 'any' ? undefined : meaning;
}

export function fromSince(since: Timestamp | undefined, checks: FieldChecks): number | undefined {
  if (since === undefined) return undefined;
  const sinceMs = fromTimestamp(since);
  if (sinceMs === undefined) checks.add('since', 'must be a time of the years 1 to 9999');
  return sinceMs;
}

export function toEvent(event: ReportedEvent): EventMessage {
  return {
    id: event.id,
    virtualMachine: toRef(event.vm),
    type: TYPE[event.type],
    reason: event.reason,
    message: event.message,
    cause: event.cause,
    requestedBy: event.requestedBy,
    firstTime: toTimestamp(event.firstAtMs),
    lastTime: toTimestamp(event.lastAtMs),
    count: event.count,
    operationId: event.operationId,
    migrationId: event.migrationId,
    origin: toOrigin(event.origin),
  };
}

export function toWatchEventsResponse(event: WatchEvent<ReportedEvent>): WatchEventsResponse {
  return {
    type: toEventType(event.type),
    event: 'object' in event ? toEvent(event.object) : undefined,
    origin: toOrigin(event.origin),
  };
}
