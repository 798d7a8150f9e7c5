import type { EventServiceService } from '../../gen/novacron/agent/v1/event.ts';
import type { EventService } from '../events/event.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { fromCursor, fromPage, toOrigin } from './common-conversion.ts';
import { fromSince, fromType, toEvent, toWatchEventsResponse } from './event-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { fromVmFilter } from './vm-filter.ts';

/** A page that the caller gives no size for. */
const DEFAULT_PAGE_SIZE = 1_000;

export function eventHandlers(events: EventService): ServiceHandlers<EventServiceService> {
  return {
    async listEvents(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      const sinceMs = fromSince(request.since, checks);
      const type = fromType(request.type, checks);
      const filter = { ...fromVmFilter(request, checks), type, sinceMs };
      checks.throwIfAny('INVALID_REQUEST', 'Cannot list events');
      const size = page.size === 0 ? DEFAULT_PAGE_SIZE : page.size;
      const list = await events.list(filter, { ...page, size }, signal);
      return {
        events: list.items.map(toEvent),
        origin: toOrigin(list.origin),
        nextPageToken: list.nextToken,
      };
    },

    async *watchEvents(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      const type = fromType(request.type, checks);
      const filter = { ...fromVmFilter(request, checks), type };
      checks.throwIfAny('INVALID_REQUEST', 'Cannot watch events');
      for await (const event of events.watch(filter, cursor, signal)) {
        yield toWatchEventsResponse(event);
      }
    },
  };
}
