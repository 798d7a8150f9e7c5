import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Notifier } from '../../../src/core/notifier.ts';
import { untilAborted } from '../../../src/core/until-aborted.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const ROUNDS = 200;

/** How many of the reasons for which a wait was given up are still there, once all that nobody holds has gone. */
async function reasonsKept(wait: (signal: AbortSignal) => Promise<unknown>): Promise<number> {
  const reasons: WeakRef<Error>[] = [];
  for (let round = 0; round < ROUNDS; round += 1) await giveUp(wait, reasons);
  // What an await has held goes in the turn after it.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  return reasons.filter((reason) => reason.deref() !== undefined).length;
}

async function giveUp(
  wait: (signal: AbortSignal) => Promise<unknown>,
  reasons: WeakRef<Error>[],
): Promise<void> {
  const controller = new AbortController();
  const waiting = wait(controller.signal);
  const reason = new Error('given up');
  reasons.push(new WeakRef(reason));
  controller.abort(reason);
  await waiting.catch(() => undefined);
}

test('settles as the work does', async () => {
  const { signal } = new AbortController();
  assert.equal(await untilAborted(Promise.resolve(1), signal), 1);
  await assert.rejects(untilAborted(Promise.reject(new Error('no')), signal), /^Error: no$/);
});

test('several wait for one work, and each gets its outcome or its own reason', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const impatient = new AbortController();
  const { signal } = new AbortController();
  const all = [promise, promise, promise].map((work, index) =>
    untilAborted(work, index === 1 ? impatient.signal : signal),
  );
  impatient.abort('too late');
  await assert.rejects(all[1] ?? promise, (reason) => reason === 'too late');
  resolve('done');
  assert.deepEqual(await Promise.all([all[0], all[2]]), ['done', 'done']);
  assert.equal(await untilAborted(promise, signal), 'done');
});

test('a signal that is aborted already ends the wait', async () => {
  await assert.rejects(
    untilAborted(new Promise(() => {}), AbortSignal.abort('before')),
    (reason) => reason === 'before',
  );
});

test('who has given up leaves nothing at a promise that lasts', async () => {
  const lasting = new Promise<never>(() => {});
  // The last may still be on the stack.
  assert.ok((await reasonsKept((signal) => untilAborted(lasting, signal))) <= 1);
  // Shows that the count would show it: a race leaves all.
  const raced = await reasonsKept((signal) => {
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener('abort', () => aborted.reject(signal.reason), { once: true });
    return Promise.race([lasting, aborted.promise]);
  });
  assert.equal(raced, ROUNDS);
  await assert.rejects(untilAborted(lasting, AbortSignal.abort('end')));
});

test('who waits again and again leaves nothing at a signal that lasts', async () => {
  const { signal } = new AbortController();
  const changes = new Notifier();
  for (let round = 0; round < ROUNDS; round += 1) {
    await untilAborted(Promise.resolve(), signal);
    const changed = changes.changed(
      changes.version,
      AbortSignal.any([signal, new AbortController().signal]),
    );
    changes.notify();
    await changed;
  }
  assert.deepEqual(getEventListeners(signal, 'abort'), []);
});
