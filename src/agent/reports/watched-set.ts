import { EventLog } from './event-log.ts';
import type { Origins, ReportOrigin, WatchCursor, WatchEvent } from './report.ts';

/** Every object says where its last change stands. */
interface Reported {
  readonly origin: ReportOrigin;
}

/** A change with what was there before, so that each watcher can be told what it means for what it chose. */
interface Change<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
  readonly origin: ReportOrigin;
  /** Only the newest change of its object counts. */
  readonly isPassing: boolean;
}

/**
 * Objects of one kind as they are, and their changes for those who watch. One protocol for all kinds; see `WatchEvent`.
 */
export class WatchedSet<T extends Reported> {
  readonly #origins: Origins;
  readonly #log: EventLog<Change<T>>;
  readonly #objects = new Map<string, T>();
  #edits = 0;

  constructor(origins: Origins) {
    this.#origins = origins;
    this.#log = new EventLog(origins.current().agentEpoch);
  }

  get size(): number {
    return this.#objects.size;
  }

  /** Counts what was put, replaced or taken away, whether anybody is told of it or not. */
  get edits(): number {
    return this.#edits;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.#objects.values();
  }

  /** Adds or replaces an object, and returns it with the origin of this change. */
  put(key: string, object: T): T {
    const origin = this.#origins.next();
    return this.#set(key, { ...object, origin }, false);
  }

  /**
   * The same for a change that a slow watcher may miss when another follows. It changes nothing that decides whether
   * anybody's filter matches: whoever missed it would not be told that the object has come or gone.
   */
  putPassing(key: string, object: T): T {
    const origin = this.#origins.next();
    return this.#set(key, { ...object, origin }, true);
  }

  /** Replaces what nobody is told of, such as live figures, of an object that is there. */
  replaceQuietly(key: string, object: T): void {
    this.#edits += 1;
    this.#objects.set(key, object);
  }

  /** Takes an object away. One that is not there counts as taken. */
  delete(key: string): void {
    const before = this.#objects.get(key);
    if (before === undefined) return;
    const origin = this.#origins.next();
    this.#objects.delete(key);
    this.#edits += 1;
    const change = { before, after: undefined, origin, isPassing: false };
    this.#log.append(origin.revision, key, change);
  }

  /**
   * The objects that match, then every change of them. Ends when aborted; fails with WATCH_EXPIRED when too far behind,
   * and for a cursor of the future. Until a listing is synced its events stand at revision 0, which is no cursor: one that breaks off begins anew.
   */
  async *watch(
    matches: (object: T) => boolean,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>, void, undefined> {
    const now = this.#origins.current();
    const newest = this.#log.newestRevision;
    let { revision } = now;
    if (cursor !== undefined && this.#log.canContinueFrom(cursor, revision)) {
      revision = cursor.revision;
    } else {
      // Taken before the first event goes out: what changes while a slow watcher reads comes from the log.
      const objects = [...this.#objects.values()].filter(matches);
      const origin = { ...now, revision: 0 };
      yield { type: 'reset', origin };
      for (const object of objects) yield { type: 'added', object, origin };
    }
    let isSynced = revision >= newest;
    if (isSynced) yield { type: 'synced', origin: { ...now, revision } };
    for await (const change of this.#log.follow(revision, signal)) {
      const event = eventOf(change, matches);
      if (event !== undefined) yield event;
      if (!isSynced && change.origin.revision >= newest) {
        isSynced = true;
        yield { type: 'synced', origin: change.origin };
      }
    }
  }

  #set(key: string, after: T, isPassing: boolean): T {
    const before = this.#objects.get(key);
    this.#objects.set(key, after);
    this.#edits += 1;
    const change: Change<T> = { before, after, origin: after.origin, isPassing };
    const { revision } = after.origin;
    if (isPassing) {
      this.#log.replace(revision, key, change, (last) => last.isPassing);
    } else {
      this.#log.append(revision, key, change);
    }
    return after;
  }
}

function eventOf<T>(
  { before, after, origin }: Change<T>,
  matches: (object: T) => boolean,
): WatchEvent<T> | undefined {
  const did = before !== undefined && matches(before);
  const does = after !== undefined && matches(after);
  if (does) return { type: did ? 'modified' : 'added', object: after, origin };
  // With its newest state, if only its labels have changed.
  return did ? { type: 'deleted', object: after ?? before, origin } : undefined;
}
