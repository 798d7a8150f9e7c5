import { isDeepStrictEqual } from 'node:util';
import {
  type ReportOrigin,
  type WatchCursor,
  WatchEventType,
} from '../gen/novacron/agent/v1/common.ts';
import { type ResumeOptions, resume } from './resume.ts';

/** One message of a watch, whatever is watched. */
export interface WatchMessage<T> {
  readonly type: WatchEventType;
  /** Unset for SYNCED and RESET. */
  readonly object: T | undefined;
  readonly origin: ReportOrigin | undefined;
  /** With DELETED: the node that it has gone to; empty or not given if it has gone to none. */
  readonly movedToNode?: string | undefined;
}

export type ResourceEvent<T> =
  | { readonly type: 'added' | 'modified'; readonly object: T }
  | {
      readonly type: 'deleted';
      /** Its last known state. */
      readonly object: T;
      /** The node that it has gone to; undefined if it has gone to none, or that is not known. */
      readonly movedToNode?: string;
    }
  /** Everything that happened so far has been told; sent again after every reconnection. */
  | { readonly type: 'synced' };

export interface WatchSource<T> {
  /** Opens one watch, as the agent serves it. */
  readonly open: (cursor: WatchCursor | undefined) => AsyncIterable<WatchMessage<T>>;
  readonly keyOf: (object: T) => string;
  /** What of an object must differ for it to count as changed: all but where the report comes from and what never rests. */
  readonly contentOf: (object: T) => unknown;
}

/**
 * The objects as they are, then every change, for as long as the signal lets it. A lost connection is made anew and the
 * watch goes on where it was: nothing is told twice, and what was deleted meanwhile is told as deleted.
 */
export async function* watchResource<T>(
  source: WatchSource<T>,
  options: ResumeOptions,
): AsyncGenerator<ResourceEvent<T>, void, undefined> {
  const view = new View(source);
  const onLost: ResumeOptions['onLost'] = (error) => {
    if (error?.reason === 'WATCH_EXPIRED') view.cursor = undefined;
    options.onLost?.(error);
  };
  const open = (): AsyncIterable<WatchMessage<T>> => source.open(view.cursor);
  for await (const message of resume(open, { ...options, onLost })) yield* view.apply(message);
}

/** What a watcher has been told; turns what an agent sends into what is new. */
class View<T> {
  readonly #source: WatchSource<T>;
  readonly #known = new Map<string, T>();
  /** Where to go on; undefined asks for everything anew. */
  cursor: WatchCursor | undefined;
  /** What a RESET has been followed by so far; undefined when there is none under way. */
  #listed: Set<string> | undefined;

  constructor(source: WatchSource<T>) {
    this.#source = source;
  }

  *apply(message: WatchMessage<T>): Generator<ResourceEvent<T>, void, undefined> {
    const { type, object, origin, movedToNode } = message;
    if (type === WatchEventType.WATCH_EVENT_TYPE_RESET) {
      this.#listed = new Set();
      // A listing that breaks off cannot be continued.
      this.cursor = undefined;
      return;
    }
    if (type === WatchEventType.WATCH_EVENT_TYPE_SYNCED) yield* this.#synced();
    else if (object !== undefined) yield* this.#changed(type, object, movedToNode);
    if (origin !== undefined && this.#listed === undefined) {
      this.cursor = { agentEpoch: origin.agentEpoch, revision: origin.revision };
    }
  }

  *#changed(
    type: WatchEventType,
    object: T,
    movedToNode = '',
  ): Generator<ResourceEvent<T>, void, undefined> {
    const key = this.#source.keyOf(object);
    if (type === WatchEventType.WATCH_EVENT_TYPE_DELETED) {
      this.#listed?.delete(key);
      const moved = movedToNode === '' ? {} : { movedToNode };
      if (this.#known.delete(key)) yield { type: 'deleted', object, ...moved };
      return;
    }
    const before = this.#known.get(key);
    this.#known.set(key, object);
    this.#listed?.add(key);
    // Listed again after a RESET, as it was.
    if (this.#listed !== undefined && before !== undefined && this.#isSame(object, before)) return;
    yield { type: before === undefined ? 'added' : 'modified', object };
  }

  #isSame(object: T, before: T): boolean {
    const { contentOf } = this.#source;
    return isDeepStrictEqual(contentOf(object), contentOf(before));
  }

  *#synced(): Generator<ResourceEvent<T>, void, undefined> {
    const listed = this.#listed;
    for (const [key, object] of listed === undefined ? [] : this.#known) {
      if (listed?.has(key) === true) continue;
      this.#known.delete(key);
      yield { type: 'deleted', object };
    }
    this.#listed = undefined;
    yield { type: 'synced' };
  }
}
