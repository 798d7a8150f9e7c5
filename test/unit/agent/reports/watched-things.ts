import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import type {
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../../../../src/agent/reports/report.ts';
import { ReportOriginSource } from '../../../../src/agent/reports/report-origin-source.ts';
import { WatchedSet } from '../../../../src/agent/reports/watched-set.ts';

/** Something to watch. */
export interface Thing {
  readonly key: string;
  /** What filters look at. */
  readonly color: string;
  /** What changes in passing. */
  readonly done: number;
  readonly origin: ReportOrigin;
}

/** A set of things that a test changes. */
export class Things {
  readonly origins = new ReportOriginSource({
    nodeName: 'node-a',
    nodeBootId: 'boot',
    agentEpoch: 7,
  });
  readonly set = new WatchedSet<Thing>(this.origins);

  put(key: string, color: string): Thing {
    const done = this.set.get(key)?.done ?? 0;
    return this.set.put(key, { key, color, done, origin: this.origins.current() });
  }

  pass(key: string, done: number): void {
    const thing = this.set.get(key);
    assert.ok(thing);
    this.set.putPassing(key, { ...thing, done });
  }

  /** What somebody who lists afresh sees. */
  list(matches: Filter): readonly string[] {
    return viewOf([...this.set.values()].filter(matches));
  }

  watch(matches: Filter, cursor?: WatchCursor): Watcher {
    return new Watcher(this.set, matches, cursor);
  }
}

export type Filter = (thing: Thing) => boolean;

export const all: Filter = () => true;

export function colored(color: string): Filter {
  return (thing) => thing.color === color;
}

/** One watch, read message by message. */
export class Watcher implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #events: AsyncGenerator<WatchEvent<Thing>, void, undefined>;
  #coming: Promise<WatchEvent<Thing>> | undefined;
  /** Where the last message stands. */
  cursor: WatchCursor | undefined;

  constructor(set: WatchedSet<Thing>, matches: Filter, cursor: WatchCursor | undefined) {
    this.cursor = cursor;
    this.#events = set.watch(matches, cursor, this.#stop.signal);
  }

  /** The next message, or undefined if there is none now. */
  async poll(): Promise<WatchEvent<Thing> | undefined> {
    this.#coming ??= this.#read();
    const event = await Promise.race([this.#coming, setImmediate(undefined)]);
    if (event !== undefined) this.#coming = undefined;
    return event;
  }

  async next(): Promise<WatchEvent<Thing>> {
    const coming = this.#coming ?? this.#read();
    this.#coming = undefined;
    return coming;
  }

  async #read(): Promise<WatchEvent<Thing>> {
    const { value } = await this.#events.next();
    assert.ok(value);
    const { agentEpoch, revision } = value.origin;
    this.cursor = { agentEpoch, revision };
    return value;
  }

  /** What is told up to the next time that all is told, in words. */
  async untilSynced(): Promise<readonly string[]> {
    const told: string[] = [];
    while (told.at(-1) !== 'synced') told.push(wordsOf(await this.next()));
    return told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('enough'));
    await this.#coming?.catch(() => {});
    await this.#events.return();
  }
}

export function wordsOf(event: WatchEvent<Thing>): string {
  if (!('object' in event)) return event.type;
  return `${event.type} ${event.object.key} ${event.object.color}`;
}

/** Things in one order and without their origins, to be compared. */
export function viewOf(things: Iterable<Thing>): readonly string[] {
  return [...things].map(({ key, color, done }) => `${key} ${color} ${done}`).toSorted();
}
