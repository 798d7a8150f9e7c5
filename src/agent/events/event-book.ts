import { delay } from '../../core/delay.ts';
import type { Logger } from '../../core/logger.ts';
import { Notifier } from '../../core/notifier.ts';
import type { Statement } from '../journal/journal-protocol.ts';
import { tidy } from '../journal/tidy.ts';
import type { Origins, WatchCursor, WatchEvent } from '../reports/report.ts';
import type { EventNote, EventRecord, ReportedEvent } from './event.ts';
import type { EventStore } from './event-store.ts';
import { LatestEvents, REMEMBERED } from './latest-events.ts';

/** What is remembered with an event so that it is not told again; a later one of the same key takes its place. */
export interface Mark {
  readonly key: string;
  readonly statement: Statement;
}

export interface EventBookOptions {
  readonly store: EventStore;
  readonly origins: Origins;
  readonly log: Logger;
  /** How long events are gathered before they are written. Default 250 ms. */
  readonly gatherMs?: number | undefined;
}

/** Events come together; one write, and one wait for the disk, is for all that came within this time. */
const GATHER_MS = 250;
/** Between two tries of writing what could not be written. */
const RETRY_MS = 5_000;
const PRUNE_INTERVAL_MS = 3_600_000;
/** So many new ones, and it is looked whether there are too many. */
const PRUNE_EVERY = 200;

/**
 * What has happened to the VMs of this node. Nothing waits for it: what is noted here is written soon afterwards, together with what
 * keeps it from being told again, and told then. What an agent was killed before writing, the next one finds out by itself.
 */
export class EventBook {
  readonly #options: EventBookOptions;
  readonly #latest: LatestEvents;
  readonly #notifier = new Notifier();
  /** Ids of events that the journal does not have as they are. */
  readonly #unwritten = new Set<string>();
  readonly #marks = new Map<string, Statement>();
  #prunedAtMs = performance.now();
  #sincePruning = 0;
  #hasFailed = false;

  private constructor(options: EventBookOptions, latest: LatestEvents) {
    this.#options = options;
    this.#latest = latest;
  }

  static async load(options: EventBookOptions): Promise<EventBook> {
    const { store, origins } = options;
    await tidy(() => store.prune(Date.now()));
    return new EventBook(options, new LatestEvents(await store.listLatest(REMEMBERED), origins));
  }

  /** Something has happened, and is not to be told again. Costs little. */
  note(notes: readonly EventNote[], marks: readonly Mark[]): void {
    for (const note of notes) this.#unwritten.add(this.#latest.take(note).id);
    for (const { key, statement } of marks) this.#marks.set(key, statement);
    if (notes.length > 0 || marks.length > 0) this.#notifier.notify();
    // Those that nobody could write meanwhile, and that others have pushed out.
    if (this.#unwritten.size <= 2 * REMEMBERED) return;
    for (const id of this.#unwritten) {
      if (this.#latest.get(id) === undefined) this.#unwritten.delete(id);
    }
  }

  watch(
    matches: (event: ReportedEvent) => boolean,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<ReportedEvent>, void, undefined> {
    return this.#latest.watch(matches, cursor, signal);
  }

  /** Writes and tells what is noted, until aborted; then what is left. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    const { gatherMs = GATHER_MS } = this.#options;
    try {
      for (;;) {
        const seen = this.#notifier.version;
        await this.flush();
        if (this.#hasFailed) await delay(RETRY_MS, signal);
        else await this.#notifier.changed(seen, signal);
        await delay(gatherMs, signal);
      }
    } finally {
      await this.flush();
    }
  }

  /** Writes and tells what was noted. What cannot be written is told all the same, and written later. */
  async flush(): Promise<void> {
    const { store, log } = this.#options;
    const records = [...this.#unwritten].flatMap((id) => this.#latest.get(id) ?? []);
    const marks = new Map(this.#marks);
    if (records.length === 0 && marks.size === 0) return;
    this.#unwritten.clear();
    this.#marks.clear();
    try {
      await store.write(records, [...marks.values()]);
      await this.#pruneSometimes(records.length);
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed) {
        log.warn(
          { err: error },
          'Events cannot be recorded; an agent started now tells them again',
        );
      }
      this.#hasFailed = true;
      this.#owe(records, marks);
    }
    for (const { id } of records) this.#tell(id);
  }

  #tell(id: string): void {
    // As it is now: what has happened again since is written and told next.
    const record = this.#latest.get(id);
    if (record !== undefined) this.#latest.tell(record);
  }

  #owe(records: readonly EventRecord[], marks: ReadonlyMap<string, Statement>): void {
    for (const { id } of records) this.#unwritten.add(id);
    for (const [key, statement] of marks) {
      if (!this.#marks.has(key)) this.#marks.set(key, statement);
    }
  }

  async #pruneSometimes(written: number): Promise<void> {
    this.#sincePruning += written;
    const isDue = performance.now() - this.#prunedAtMs > PRUNE_INTERVAL_MS;
    if (this.#sincePruning < PRUNE_EVERY && !isDue) return;
    this.#sincePruning = 0;
    this.#prunedAtMs = performance.now();
    await this.#options.store.prune(Date.now());
  }
}
