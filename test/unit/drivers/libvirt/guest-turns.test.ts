import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { hasReason } from '../../../../src/core/errors.ts';
import { GuestTurns } from '../../../../src/drivers/libvirt/guest-turns.ts';

const never = new AbortController().signal;

/** Work that ends when it is told to, and knows how much of it goes on at once. */
class Work {
  atOnce = 0;
  most = 0;
  begun = 0;
  readonly #ends: (() => void)[] = [];

  readonly begin = async (): Promise<void> => {
    this.begun += 1;
    this.atOnce += 1;
    this.most = Math.max(this.most, this.atOnce);
    await new Promise<void>((resolve) => this.#ends.push(resolve));
    this.atOnce -= 1;
  };

  async endAll(count: number): Promise<void> {
    for (let ended = 0; ended < count; ) {
      const end = this.#ends.shift();
      end?.();
      if (end !== undefined) ended += 1;
      await nextTurn();
    }
  }
}

test('a guest is asked one thing at a time', async () => {
  const turns = new GuestTurns();
  const work = new Work();
  const all = [1, 2, 3].map(() => turns.take('a', 'VM a', work.begin, never));
  await work.endAll(3);
  await Promise.all(all);
  assert.deepEqual([work.begun, work.most], [3, 1]);
});

test('few guests are asked at once', async () => {
  const turns = new GuestTurns();
  const work = new Work();
  const uids = Array.from({ length: 20 }, (_, index) => `vm-${index}`);
  const all = uids.map((uid) => turns.take(uid, uid, work.begin, never));
  await work.endAll(20);
  await Promise.all(all);
  assert.deepEqual([work.begun, work.most], [20, 6]);
});

test('who gives up while it waits leaves the line, and what goes on is waited for all the same', async () => {
  const turns = new GuestTurns();
  const work = new Work();
  const caller = new AbortController();
  const first = turns.take('a', 'VM a', work.begin, caller.signal);
  const second = turns.take('a', 'VM a', work.begin, caller.signal);
  const third = turns.take('a', 'VM a', work.begin, never);
  await nextTurn();
  caller.abort(new Error('enough'));
  await assert.rejects(first, /enough/);
  await assert.rejects(second, /enough/);
  await nextTurn();
  assert.deepEqual([work.begun, work.atOnce], [1, 1]);
  await work.endAll(2);
  await third;
  assert.deepEqual([work.begun, work.most], [2, 1]);
});

test('a line that is too long is not joined', async () => {
  const turns = new GuestTurns();
  const work = new Work();
  const all = Array.from({ length: 17 }, () => turns.take('a', 'VM a', work.begin, never));
  await assert.rejects(turns.take('a', 'VM a', work.begin, never), (error) => {
    assert.ok(hasReason(error, 'VM_BUSY'));
    assert.match(error.message, /^Cannot ask the guest of VM a: .*try again later$/);
    return true;
  });
  // Other guests have lines of their own.
  const other = turns.take('b', 'VM b', work.begin, never);
  await work.endAll(18);
  await Promise.all([...all, other]);
});

test('work that fails makes room for the next', async () => {
  const turns = new GuestTurns();
  await assert.rejects(
    turns.take('a', 'VM a', () => Promise.reject(new Error('no')), never),
    /no/,
  );
  await turns.take('a', 'VM a', async () => undefined, never);
});
