import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { DescriptionKeeper } from '../../../../src/drivers/libvirt/description-keeper.ts';

function withKeeper() {
  const cache = { changes: 0, descriptions: () => new Map() };
  const calls: string[] = [];
  const file = {
    fails: false,
    forget: () => void calls.push('forget'),
    async write() {
      calls.push(`write ${cache.changes}`);
      if (file.fails) throw new Error('full');
    },
  };
  return { cache, calls, file, keeper: new DescriptionKeeper(cache, file, undefined) };
}

test('what has changed is kept once a minute and at the end, and the rest forgotten', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { cache, calls, keeper } = withKeeper();
  cache.changes = 3;
  context.mock.timers.tick(60_000);
  await setImmediate();
  context.mock.timers.tick(60_000);
  await setImmediate();
  cache.changes = 4;
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(calls, ['forget', 'write 3', 'forget', 'write 4']);
});

test('nothing is kept where nothing has changed', async () => {
  const { calls, keeper } = withKeeper();
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(calls, []);
});

test('what could not be kept is kept later, and an agent that never can ends all the same', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { cache, calls, file, keeper } = withKeeper();
  file.fails = true;
  cache.changes = 1;
  context.mock.timers.tick(60_000);
  await setImmediate();
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(calls, ['forget', 'write 1', 'write 1']);
});
