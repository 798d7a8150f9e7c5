import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from '../../../src/core/turns.ts';

test('work on one key is done in its order, also after work that failed', async () => {
  const turns = new Turns();
  const done: string[] = [];
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  const first = turns.take('a', async () => {
    await gate;
    done.push('first');
    throw new Error('no');
  });
  const failed = assert.rejects(first, { message: 'no' });
  const second = turns.take('a', async () => {
    done.push('second');
    return 2;
  });
  open();
  await failed;
  assert.equal(await second, 2);
  assert.deepEqual(done, ['first', 'second']);
});

test('work on one key does not hold up work on another', async () => {
  const turns = new Turns();
  void turns.take('a', () => new Promise(() => {}));
  assert.equal(await turns.take('b', async () => 'done'), 'done');
});
