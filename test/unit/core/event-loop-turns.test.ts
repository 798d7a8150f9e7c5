import assert from 'node:assert/strict';
import { stat } from 'node:fs';
import { test } from 'node:test';
import { EventLoopTurns } from '../../../src/core/event-loop-turns.ts';

test('turns come in the order of asking, and what the event loop brings comes in between', async () => {
  const turns = new EventLoopTurns();
  const taken: number[] = [];
  const { promise: read, resolve } = Promise.withResolvers<number>();
  stat('.', () => resolve(taken.length));
  const all = Array.from({ length: 10_000 }, async (_, number) => {
    await turns.next();
    taken.push(number);
  });
  await Promise.all(all);
  assert.deepEqual(taken, [...all.keys()]);
  assert.ok((await read) < all.length, 'The file was read only after all turns');
});

test('who asks again comes after those who wait already', async () => {
  const turns = new EventLoopTurns();
  const taken: string[] = [];
  const take = async (name: string) => {
    await turns.next();
    taken.push(name);
  };
  await Promise.all([take('first').then(() => take('again')), take('second'), take('third')]);
  assert.deepEqual(taken, ['first', 'second', 'third', 'again']);
});
