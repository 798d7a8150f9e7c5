import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RecentAnswer } from '../../../../src/drivers/libvirt/recent-answer.ts';

const never = new AbortController().signal;

void test('what was answered a moment ago is not asked for again, until it is forgotten', async () => {
  let asked = 0;
  const recent = new RecentAnswer(60_000, () => Promise.resolve((asked += 1)));
  assert.deepEqual([await recent.read(never), await recent.read(never)], [1, 1]);
  recent.forget();
  assert.equal(await recent.read(never), 2);
  await assert.rejects(recent.read(AbortSignal.abort(new Error('enough'))), /enough/);
});

void test('what is old is asked for again, and so is what has failed', async () => {
  let asked = 0;
  const old = new RecentAnswer(0, () => Promise.resolve((asked += 1)));
  assert.deepEqual([await old.read(never), await old.read(never)], [1, 2]);
  const failing = new RecentAnswer<number>(60_000, () => {
    asked += 1;
    return asked === 3 ? Promise.reject(new Error('away')) : Promise.resolve(asked);
  });
  await assert.rejects(failing.read(never), /away/);
  assert.equal(await failing.read(never), 4);
});

void test('what was asked for before it was to be forgotten is not kept', async () => {
  const first = Promise.withResolvers<string>();
  const answers = [first.promise, Promise.resolve('new')];
  const recent = new RecentAnswer(60_000, () => answers.shift() ?? Promise.reject(new Error()));
  const before = recent.read(never);
  recent.forget();
  first.resolve('old');
  assert.equal(await before, 'old');
  assert.equal(await recent.read(never), 'new');
});
