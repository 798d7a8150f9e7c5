import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WatchCursor, WatchEvent } from '../../../../src/agent/reports/report.ts';
import { hasReason } from '../../../../src/core/errors.ts';
import { all, colored, type Filter, type Thing, Things, viewOf } from './watched-things.ts';

const RUNS = 150;
const STEPS = 60;
const KEYS = ['a', 'b', 'c', 'd'];
const COLORS = ['red', 'blue', 'green'];
const FILTERS: readonly Filter[] = [all, colored('red'), (thing) => thing.color !== 'blue'];

/** The same numbers for the same seed (mulberry32). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Does with events what the protocol says, and minds that it is kept. */
class Follower {
  readonly view = new Map<string, Thing>();
  cursor: WatchCursor | undefined;
  isSynced = false;
  /** What a listing has brought so far; undefined when there is none under way. */
  #listed: Set<string> | undefined;

  apply(event: WatchEvent<Thing>): void {
    this.cursor = { agentEpoch: event.origin.agentEpoch, revision: event.origin.revision };
    switch (event.type) {
      case 'reset':
        this.#listed = new Set();
        return;
      case 'synced':
        for (const key of this.view.keys()) {
          if (this.#listed?.has(key) === false) this.view.delete(key);
        }
        this.#listed = undefined;
        this.isSynced = true;
        return;
      default:
        this.#change(event.type, event.object);
    }
  }

  /** A watch that broke off: nothing but the view and the cursor is left. */
  breakOff(): void {
    this.isSynced = false;
    this.#listed = undefined;
  }

  #change(type: 'added' | 'modified' | 'deleted', thing: Thing): void {
    if (this.#listed === undefined) {
      assert.equal(this.view.has(thing.key), type !== 'added', `${type} ${thing.key}`);
    }
    this.#listed?.add(thing.key);
    if (type === 'deleted') this.view.delete(thing.key);
    else this.view.set(thing.key, thing);
  }
}

function changeOne(things: Things, random: (below: number) => number): void {
  const key = KEYS[random(KEYS.length)] ?? '';
  const kind = random(10);
  if (kind < 4) things.put(key, COLORS[random(COLORS.length)] ?? '');
  else if (kind < 6) things.set.delete(key);
  else if (things.set.get(key) !== undefined) things.pass(key, random(1_000));
  // Changes of other kinds of objects are counted as well.
  if (random(4) === 0) things.origins.next();
}

async function runOnce(seed: number): Promise<void> {
  const random = randomNumbers(seed);
  const things = new Things();
  const filter = FILTERS[random(FILTERS.length)] ?? all;
  const follower = new Follower();
  // Comes last and is told to everybody, so that nobody waits for more.
  const matches: Filter = (thing) => thing.key === 'end' || filter(thing);
  let watcher = things.watch(matches);
  for (let step = 0; step < STEPS; step++) {
    changeOne(things, random);
    for (let reads = random(4); reads > 0; reads--) {
      const event = await watcher.poll();
      if (event !== undefined) follower.apply(event);
    }
    if (random(8) === 0) {
      await watcher[Symbol.asyncDispose]();
      follower.breakOff();
      // At times somebody lost the cursor, or brings one of an earlier agent.
      const cursor = [follower.cursor, follower.cursor, undefined, { agentEpoch: 6, revision: 3 }];
      watcher = things.watch(matches, cursor[random(cursor.length)]);
    }
  }
  things.put('end', 'white');
  while (!(follower.isSynced && follower.view.has('end'))) follower.apply(await watcher.next());
  assert.deepEqual(viewOf(follower.view.values()), things.list(matches));
  await watcher[Symbol.asyncDispose]();
}

test('whatever happens and breaks, who applies the events ends with what a list shows', async (t) => {
  for (let seed = 1; seed <= RUNS; seed++) {
    await runOnce(seed).catch((error: unknown) => {
      t.diagnostic(`seed ${seed}`);
      throw error;
    });
  }
});

test('so does who falls behind, is told so and begins anew', async () => {
  const random = randomNumbers(99);
  const things = new Things();
  const follower = new Follower();
  let watcher = things.watch(colored('red'));
  follower.apply(await watcher.next());
  for (let count = 0; count < 9_000; count++) changeOne(things, random);
  things.put('end', 'red');
  for (let restarts = 0; !follower.isSynced || !follower.view.has('end'); ) {
    try {
      follower.apply(await watcher.next());
    } catch (error) {
      assert.ok(hasReason(error, 'WATCH_EXPIRED') && restarts === 0);
      restarts += 1;
      await watcher[Symbol.asyncDispose]();
      follower.breakOff();
      watcher = things.watch(colored('red'), follower.cursor);
    }
  }
  assert.deepEqual(viewOf(follower.view.values()), things.list(colored('red')));
  await watcher[Symbol.asyncDispose]();
});
