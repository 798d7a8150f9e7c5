import type { Origins, WatchCursor, WatchEvent } from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import type { EventNote, EventRecord, ReportedEvent } from './event.ts';
import { KEPT_OF_VM } from './event-store.ts';
import { againOf, firstOf, sameKeyOf } from './folding.ts';

/** So many are in memory: those that may happen again, and are told to who begins to watch. */
export const REMEMBERED = 500;

/** The events that have happened last, in that order, told or not yet. One VM alone cannot push out those of all others. */
export class LatestEvents {
  readonly #told: WatchedSet<ReportedEvent>;
  readonly #origins: Origins;
  /** The one that has happened last comes last. */
  readonly #records = new Map<string, EventRecord>();
  /** Their ids, by VM, in the same order. */
  readonly #ofVm = new Map<string, Set<string>>();
  /** Ids, by what they are the same again by. */
  readonly #bySameKey = new Map<string, string>();

  constructor(known: readonly EventRecord[], origins: Origins) {
    this.#origins = origins;
    this.#told = new WatchedSet(origins);
    for (const record of known) {
      this.#put(record);
      this.tell(record);
    }
  }

  /** Something has happened, for the first time or again. Nobody is told yet. */
  take(note: EventNote): EventRecord {
    const first = firstOf(note);
    const known = this.#records.get(this.#bySameKey.get(sameKeyOf(first)) ?? '');
    const record = (known && againOf(known, note)) ?? first;
    this.#put(record);
    return record;
  }

  /** Undefined if others have pushed it out. */
  get(id: string): EventRecord | undefined {
    return this.#records.get(id);
  }

  /** Tells those who watch of one, unless others have pushed it out. */
  tell(record: EventRecord): void {
    if (!this.#records.has(record.id)) return;
    const event = { ...record, origin: this.#origins.current() };
    // Each of a flood may be missed by a slow watcher, but not that there is one.
    if (this.#told.get(record.id) === undefined) this.#told.put(record.id, event);
    else this.#told.putPassing(record.id, event);
  }

  watch(
    matches: (event: ReportedEvent) => boolean,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<ReportedEvent>, void, undefined> {
    return this.#told.watch(matches, cursor, signal);
  }

  #put(record: EventRecord): void {
    const { id, vm } = record;
    const ofVm = this.#ofVm.get(vm.uid) ?? new Set<string>();
    this.#ofVm.set(vm.uid, ofVm);
    // Behind all others.
    this.#records.delete(id);
    this.#records.set(id, record);
    ofVm.delete(id);
    ofVm.add(id);
    this.#bySameKey.set(sameKeyOf(record), id);
    for (const oldest of ofVm) {
      if (ofVm.size <= KEPT_OF_VM) break;
      this.#drop(oldest);
    }
    for (const oldest of this.#records.keys()) {
      if (this.#records.size <= REMEMBERED) break;
      this.#drop(oldest);
    }
  }

  #drop(id: string): void {
    const record = this.#records.get(id);
    if (record === undefined) return;
    this.#records.delete(id);
    this.#told.delete(id);
    const { uid } = record.vm;
    this.#ofVm.get(uid)?.delete(id);
    if (this.#ofVm.get(uid)?.size === 0) this.#ofVm.delete(uid);
    const key = sameKeyOf(record);
    if (this.#bySameKey.get(key) === id) this.#bySameKey.delete(key);
  }
}
