import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DescriptionKeeper } from '../../../../src/drivers/libvirt/description-keeper.ts';

function withKeeper() {
  const cache = { described: 0, descriptions: () => new Map() };
  const written: number[] = [];
  const file = {
    fails: false,
    async write() {
      written.push(cache.described);
      if (file.fails) throw new Error('full');
    },
  };
  return { cache, written, file, keeper: new DescriptionKeeper(cache, file, undefined) };
}

test('what was described is kept once a minute and at the end', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { cache, written, keeper } = withKeeper();
  cache.described = 3;
  context.mock.timers.tick(60_000);
  context.mock.timers.tick(60_000);
  cache.described = 4;
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(written, [4, 4]);
});

test('nothing is kept where nothing was described', async () => {
  const { written, keeper } = withKeeper();
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(written, []);
});

test('an agent that cannot keep it ends all the same', async () => {
  const { cache, file, written, keeper } = withKeeper();
  file.fails = true;
  cache.described = 1;
  await keeper[Symbol.asyncDispose]();
  assert.deepEqual(written, [1]);
});
