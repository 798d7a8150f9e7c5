import { AgentError } from '../../core/errors.ts';
import { Notifier } from '../../core/notifier.ts';
import type { WatchCursor } from '../report-origin.ts';

/** How many changes a watcher may be behind before it has to start anew. */
const CAPACITY = 4096;

interface Entry<T> {
  readonly revision: number;
  readonly event: T;
}

/** The latest changes in order. Watchers read at their own pace and hold no queue of their own. */
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

  append(revision: number, event: T): void {
    this.#entries.push({ revision, event });
    this.#newest = revision;
    if (this.#entries.length > CAPACITY) {
      const dropped = this.#entries.length - CAPACITY / 2;
      this.#forgotten = this.#entries[dropped - 1]?.revision ?? this.#forgotten;
      this.#entries = this.#entries.slice(dropped);
    }
    this.#notifier.notify();
  }

  get newestRevision(): number {
    return this.#newest;
  }

  /** Whether all changes after the cursor are still known. */
  canContinueFrom(cursor: WatchCursor): boolean {
    return cursor.agentEpoch === this.#agentEpoch && cursor.revision >= this.#forgotten;
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
      const found = this.#entries.findIndex((candidate) => candidate.revision > position);
      const entry = this.#entries[found];
      if (entry === undefined) {
        await this.#notifier.changed(seen, signal);
        continue;
      }
      position = entry.revision;
      yield entry.event;
    }
  }
}
