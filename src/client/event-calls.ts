import type { Timestamp } from '../gen/google/protobuf/timestamp.ts';
import type { WatchCursor } from '../gen/novacron/agent/v1/common.ts';
import {
  type Event,
  EventServiceService,
  EventType,
  ListEventsRequest,
  type ListEventsResponse,
  WatchEventsRequest,
} from '../gen/novacron/agent/v1/event.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { allPages } from './pages.ts';
import type { VmRefInput } from './vm-calls.ts';
import type { WatchMessage } from './watch.ts';

export interface EventFilter {
  /** With a uid only that counts. */
  readonly virtualMachine?: VmRefInput | undefined;
  /** Only those of VMs of this namespace; not together with a VM. */
  readonly namespace?: string | undefined;
  readonly type?: EventType | undefined;
}

interface EventListFilter extends EventFilter {
  /** Only those that have last happened then or later. */
  readonly since?: Timestamp | undefined;
}

/** The calls of EventService. */
export class EventCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** One page, by when they first happened, the newest first. */
  list(
    filter: EventListFilter & {
      readonly pageSize?: number | undefined;
      readonly pageToken?: string | undefined;
    },
    options: CallOptions,
  ): Promise<ListEventsResponse> {
    const { since, pageSize = 0, pageToken = '' } = filter;
    const request = ListEventsRequest.create({ ...chosen(filter), pageSize, pageToken });
    request.since = since;
    return this.#connection.unary(EventServiceService.listEvents, request, options);
  }

  /** All of them, the newest first, a page at a time. */
  async *listAll(
    filter: EventListFilter,
    options: CallOptions,
  ): AsyncGenerator<Event, void, undefined> {
    for await (const page of allPages((part) => this.list({ ...filter, ...part }, options))) {
      yield* page.events;
    }
  }

  /** One watch, as the agent serves it; `watchEvents` goes on after a lost connection. */
  async *watch(
    filter: EventFilter & { readonly cursor?: WatchCursor | undefined },
    options: StreamOptions,
  ): AsyncGenerator<WatchMessage<Event>, void, undefined> {
    const request = WatchEventsRequest.create(chosen(filter));
    request.cursor = filter.cursor;
    for await (const { type, event, origin } of this.#connection.stream(
      EventServiceService.watchEvents,
      request,
      options,
    )) {
      yield { type, object: event, origin };
    }
  }
}

function chosen({
  virtualMachine,
  namespace = '',
  type = EventType.EVENT_TYPE_UNSPECIFIED,
}: EventFilter) {
  return virtualMachine === undefined ? { namespace, type } : { virtualMachine, namespace, type };
}
