import { AgentError } from '../../core/errors.ts';
import { Notifier } from '../../core/notifier.ts';
import type { WatchCursor } from './report.ts';

/** How many changes a watcher may be behind before it has to start anew. */
const CAPACITY = 4096;

interface Entry<T> {
  readonly revision: number;
  readonly key: string;
  readonly event: T;
}

/**
 * The latest changes in order. Watchers read at their own pace and hold no queue of their own. Of changes that only the
 * newest of counts, such as progress, the log keeps one for each object.
 */
export class EventLog<T> {
  readonly #agentEpoch: number;
  readonly #notifier = new Notifier();
  #entries: Entry<T>[] = [];
  /** Revision of the newest change that is no longer kept. */
  #forgotten = 0;
  #newest = 0;

  constructor(agentEpoch: number) {
    this.#agentEpoch = agentEpoch;
  }

  append(revision: number, key: string, event: T): void {
    this.#entries.push({ revision, key, event });
    this.#newest = revision;
    if (this.#entries.length > CAPACITY) {
      const dropped = this.#entries.length - CAPACITY / 2;
      this.#forgotten = this.#entries[dropped - 1]?.revision ?? this.#forgotten;
      this.#entries = this.#entries.slice(dropped);
    }
    this.#notifier.notify();
  }

  /** The same, in place of the last change if that was one of the same object that `isReplaceable`. */
  replace(revision: number, key: string, event: T, isReplaceable: (event: T) => boolean): void {
    const last = this.#entries.findLastIndex((entry) => entry.key === key);
    const found = this.#entries[last];
    if (found !== undefined && isReplaceable(found.event)) this.#entries.splice(last, 1);
    this.append(revision, key, event);
  }

  get newestRevision(): number {
    return this.#newest;
  }

  /**
   * Whether all changes after the cursor are still known; 0 is no place. Fails with WATCH_EXPIRED for one that is ahead of
   * `now`: this history never gave it out, so that there is something that the watcher believes and that never was.
   */
  canContinueFrom({ agentEpoch, revision }: WatchCursor, now: number): boolean {
    const isOfNow = agentEpoch === this.#agentEpoch;
    if (agentEpoch > this.#agentEpoch || (isOfNow && revision > now)) {
      throw new AgentError(
        'WATCH_EXPIRED',
        `Cannot go on watching from agent epoch ${agentEpoch}, revision ${revision}: this agent has only come to ${this.#agentEpoch}, revision ${now}, as when its journal was restored from a backup; watch again without a cursor`,
      );
    }
    return isOfNow && revision > 0 && revision >= this.#forgotten;
  }

  /** All changes after a revision and every later one, until aborted. Fails with WATCH_EXPIRED when too far behind. */
  async *follow(afterRevision: number, signal: AbortSignal): AsyncGenerator<T, never, undefined> {
    let position = afterRevision;
    for (;;) {
      const seen = this.#notifier.version;
      if (position < this.#forgotten) {
        throw new AgentError(
          'WATCH_EXPIRED',
          'Cannot go on watching: too many changes were missed; watch again without a cursor',
        );
      }
      // From the end, as most followers have read all but the newest.
      const last = this.#entries.findLastIndex((candidate) => candidate.revision <= position);
      const entry = this.#entries[last + 1];
      if (entry === undefined) {
        await this.#notifier.changed(seen, signal);
        continue;
      }
      position = entry.revision;
      yield entry.event;
    }
  }
}
