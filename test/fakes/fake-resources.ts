import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import { matchesLabels, parseLabelSelector } from '../../src/core/label-selector.ts';
import {
  type ReportOrigin,
  type WatchCursor,
  WatchEventType,
} from '../../src/gen/novacron/agent/v1/common.ts';

/** Counts what happens in a fake agent. */
export class FakeClock {
  epoch = 1n;
  revision = 0n;

  origin(): ReportOrigin {
    const { epoch: agentEpoch, revision } = this;
    return { nodeName: 'node-a', nodeBootId: 'boot-1', agentEpoch, revision };
  }
}

interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
  readonly origin: ReportOrigin;
}

interface WatchRequest {
  readonly cursor?: WatchCursor | undefined;
}

export interface FakeEvent<T> {
  readonly type: WatchEventType;
  readonly object: T | undefined;
  readonly origin: ReportOrigin;
}

/** What a fake agent has of one kind: listed in pages, and told to watchers, as the API promises. */
export class FakeResources<T> {
  readonly #clock: FakeClock;
  readonly #objects = new Map<string, T>();
  readonly #watches = new Set<(change: Change<T>) => void>();
  #history: Change<T>[] = [];
  #forgotten = 0n;

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  has(key: string): boolean {
    return this.#objects.has(key);
  }

  get size(): number {
    return this.#objects.size;
  }

  entries(): readonly (readonly [string, T])[] {
    return [...this.#objects];
  }

  /** Adds or replaces an object. */
  put(key: string, make: (origin: ReportOrigin) => T): T {
    this.#clock.revision += 1n;
    const origin = this.#clock.origin();
    const after = make(origin);
    const before = this.#objects.get(key);
    this.#objects.set(key, after);
    this.#tell({ before, after, origin });
    return after;
  }

  remove(key: string): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    this.#objects.delete(key);
    this.#clock.revision += 1n;
    this.#tell({ before, after: undefined, origin: this.#clock.origin() });
  }

  /** Nobody can go on from a cursor of before. */
  forgetHistory(): void {
    this.#forgotten = this.#clock.revision;
    this.#history = [];
  }

  /** What a killed agent does. */
  dropWatches(): void {
    this.#watches.clear();
  }

  page(matches: (object: T) => boolean, size: number, token: string) {
    const all = [...this.#objects.values()].filter(matches);
    const start = Number(token || '0');
    const end = size === 0 ? all.length : start + size;
    const nextPageToken = end < all.length ? String(end) : '';
    return { items: all.slice(start, end), nextPageToken, origin: this.#clock.origin() };
  }

  watch<Request extends WatchRequest, Response>(
    call: ServerWritableStream<Request, Response>,
    matches: (object: T) => boolean,
    toResponse: (event: FakeEvent<T>) => Response,
  ): void {
    const send = (type: WatchEventType, object: T | undefined, origin = this.#clock.origin()) =>
      call.write(toResponse({ type, object, origin }));
    const tell = ({ before, after, origin }: Change<T>): void => {
      const did = before !== undefined && matches(before);
      const does = after !== undefined && matches(after);
      if (does) {
        const { WATCH_EVENT_TYPE_ADDED, WATCH_EVENT_TYPE_MODIFIED } = WatchEventType;
        send(did ? WATCH_EVENT_TYPE_MODIFIED : WATCH_EVENT_TYPE_ADDED, after, origin);
      } else if (did) send(WatchEventType.WATCH_EVENT_TYPE_DELETED, after ?? before, origin);
    };
    const { cursor } = call.request;
    if (cursor !== undefined) this.#refuseFuture(cursor);
    if (cursor?.agentEpoch === this.#clock.epoch && cursor.revision >= this.#forgotten) {
      const missed = this.#history.filter(({ origin }) => origin.revision > cursor.revision);
      for (const change of missed) tell(change);
    } else {
      send(WatchEventType.WATCH_EVENT_TYPE_RESET, undefined);
      for (const object of [...this.#objects.values()].filter(matches)) {
        send(WatchEventType.WATCH_EVENT_TYPE_ADDED, object);
      }
    }
    send(WatchEventType.WATCH_EVENT_TYPE_SYNCED, undefined);
    this.#watches.add(tell);
    call.on('cancelled', () => this.#watches.delete(tell));
  }

  #refuseFuture({ agentEpoch, revision }: WatchCursor): void {
    const { epoch, revision: now } = this.#clock;
    if (agentEpoch < epoch || (agentEpoch === epoch && revision <= now)) return;
    throw new AgentError('WATCH_EXPIRED', 'This agent has not come as far as the cursor');
  }

  #tell(change: Change<T>): void {
    this.#history.push(change);
    for (const tell of this.#watches) tell(change);
  }
}

/** Whether labels match a selector as a request has it. */
export function matchesSelector(selector: string, labels: Record<string, string> = {}): boolean {
  return matchesLabels(parseLabelSelector(selector), labels);
}
