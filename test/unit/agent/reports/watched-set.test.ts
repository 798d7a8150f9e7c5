import assert from 'node:assert/strict';
import { test } from 'node:test';
import { all, colored, Things, wordsOf } from './watched-things.ts';

test('a watch begins with all that is there', async () => {
  const things = new Things();
  things.put('a', 'red');
  things.put('b', 'blue');
  await using watcher = things.watch(all);
  assert.deepEqual(await watcher.untilSynced(), ['reset', 'added a red', 'added b blue', 'synced']);
});

test('a watch of nothing is up to date at once', async () => {
  await using watcher = new Things().watch(all);
  assert.deepEqual(await watcher.untilSynced(), ['reset', 'synced']);
});

test('every later change is told', async () => {
  const things = new Things();
  await using watcher = things.watch(all);
  await watcher.untilSynced();
  things.put('a', 'red');
  things.put('a', 'blue');
  things.set.delete('a');
  things.set.delete('a');
  things.put('b', 'red');
  const told = [];
  for (let count = 0; count < 4; count++) told.push(wordsOf(await watcher.next()));
  assert.deepEqual(told, ['added a red', 'modified a blue', 'deleted a blue', 'added b red']);
});

test('an object that begins to match is added, one that stops is deleted, others are not told', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using watcher = things.watch(colored('red'));
  await watcher.untilSynced();
  things.put('b', 'blue');
  things.put('a', 'blue');
  things.put('a', 'green');
  things.put('b', 'red');
  const told = [wordsOf(await watcher.next()), wordsOf(await watcher.next())];
  assert.deepEqual(told, ['deleted a blue', 'added b red']);
});

test('a watch goes on from where another ended', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using first = things.watch(all);
  await first.untilSynced();
  things.put('b', 'blue');
  things.put('a', 'blue');
  await using second = things.watch(all, first.cursor);
  assert.deepEqual(await second.untilSynced(), ['added b blue', 'modified a blue', 'synced']);
  await using third = things.watch(all, second.cursor);
  assert.deepEqual(await third.untilSynced(), ['synced']);
  assert.deepEqual(third.cursor, second.cursor);
});

test('what another filter has seen since the cursor counts as told', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using first = things.watch(colored('red'));
  await first.untilSynced();
  things.put('b', 'blue');
  await using second = things.watch(colored('red'), first.cursor);
  assert.deepEqual(await second.untilSynced(), ['synced']);
  assert.equal(second.cursor?.revision, things.origins.current().revision);
});

for (const [what, cursor] of [
  ['of an earlier start of the agent', { agentEpoch: 6, revision: 1 }],
  ['of nowhere', { agentEpoch: 7, revision: 0 }],
] as const) {
  test(`a cursor ${what} begins anew`, async () => {
    const things = new Things();
    things.put('a', 'red');
    await using watcher = things.watch(all, cursor);
    assert.deepEqual(await watcher.untilSynced(), ['reset', 'added a red', 'synced']);
  });
}

for (const [what, cursor] of [
  ['of a revision that is yet to come', { agentEpoch: 7, revision: 1_000 }],
  ['of a later start of the agent', { agentEpoch: 8, revision: 1 }],
] as const) {
  test(`a cursor ${what} is refused before anything is told`, async () => {
    const things = new Things();
    things.put('a', 'red');
    await using watcher = things.watch(all, cursor);
    await assert.rejects(watcher.next(), { reason: 'WATCH_EXPIRED' });
  });
}

test('a cursor of the newest change of another kind of object is not of the future', async () => {
  const things = new Things();
  things.put('a', 'red');
  const { agentEpoch, revision } = things.origins.next();
  await using watcher = things.watch(all, { agentEpoch, revision });
  assert.deepEqual(await watcher.untilSynced(), ['synced']);
});

test('a cursor of which too much was forgotten begins anew', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using first = things.watch(all);
  await first.untilSynced();
  for (let count = 0; count < 5_000; count++) things.put('a', count % 2 === 0 ? 'blue' : 'red');
  await using second = things.watch(all, first.cursor);
  assert.deepEqual(await second.untilSynced(), ['reset', 'added a red', 'synced']);
});

test('a watcher that falls too far behind is told so', async () => {
  const things = new Things();
  await using watcher = things.watch(all);
  await watcher.untilSynced();
  for (let count = 0; count < 5_000; count++) things.put('a', 'red');
  await assert.rejects(watcher.next(), { reason: 'WATCH_EXPIRED' });
});

test('a listing that breaks off is no place to go on from', async () => {
  const things = new Things();
  things.put('a', 'red');
  things.put('b', 'red');
  await using first = things.watch(all);
  await first.next();
  await first.next();
  await using second = things.watch(all, first.cursor);
  assert.deepEqual(await second.untilSynced(), ['reset', 'added a red', 'added b red', 'synced']);
});

test('what changes while a listing is read is told once, after it', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using watcher = things.watch(all);
  assert.equal(wordsOf(await watcher.next()), 'reset');
  things.put('b', 'red');
  things.set.delete('a');
  assert.deepEqual(await watcher.untilSynced(), ['added a red', 'synced']);
  const told = [wordsOf(await watcher.next()), wordsOf(await watcher.next())];
  assert.deepEqual(told, ['added b red', 'deleted a red']);
});

test('a slow watcher misses passing changes, but never the newest, nor one that counts', async () => {
  const things = new Things();
  things.put('a', 'red');
  await using watcher = things.watch(all);
  await watcher.untilSynced();
  for (let done = 1; done <= 10_000; done++) things.pass('a', done);
  const passing = await watcher.next();
  assert.equal('object' in passing && passing.object.done, 10_000);
  things.pass('a', 10_001);
  things.put('a', 'green');
  const told = [wordsOf(await watcher.next()), wordsOf(await watcher.next())];
  assert.deepEqual(told, ['modified a red', 'modified a green']);
});

test('figures are replaced without a word', async () => {
  const things = new Things();
  const thing = things.put('a', 'red');
  await using watcher = things.watch(all);
  await watcher.untilSynced();
  things.set.replaceQuietly('a', { ...thing, done: 5 });
  things.put('b', 'red');
  assert.equal(wordsOf(await watcher.next()), 'added b red');
  assert.equal(things.set.get('a')?.done, 5);
});

test('a watch ends with the reason of its signal', async () => {
  const stop = new AbortController();
  const watch = new Things().set.watch(all, undefined, stop.signal);
  await watch.next();
  await watch.next();
  const next = watch.next();
  stop.abort(new Error('enough'));
  await assert.rejects(next, /enough/);
});
