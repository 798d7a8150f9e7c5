import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyLocks } from '../../../src/core/key-locks.ts';

test('a key has one holder, and the second is told what the first does', () => {
  const locks = new KeyLocks();
  const first = locks.tryAcquire('vm', 'migration 1');
  assert.notEqual(first, undefined);
  assert.equal(locks.tryAcquire('vm', 'delete'), undefined);
  assert.equal(locks.purposeOf('vm'), 'migration 1');
});

test('a lock released twice does not take it from its next holder', () => {
  const locks = new KeyLocks();
  const first = locks.tryAcquire('vm', 'start');
  first?.[Symbol.dispose]();
  const second = locks.tryAcquire('vm', 'delete');
  first?.[Symbol.dispose]();
  assert.equal(locks.purposeOf('vm'), 'delete');
  second?.[Symbol.dispose]();
  assert.equal(locks.purposeOf('vm'), undefined);
});

const never = new AbortController().signal;

test('who asks for what somebody has by itself waits for it, and for nobody else', async () => {
  const locks = new KeyLocks();
  const look = locks.tryAcquire('vm', 'a look', { isByItself: true });
  const start = locks.acquire('vm', 'start', never);
  const second = locks.acquire('vm', 'delete', never);
  assert.equal(locks.purposeOf('vm'), 'a look');
  look?.[Symbol.dispose]();
  assert.notEqual(await start, undefined);
  assert.equal(await second, undefined);
  assert.equal(locks.purposeOf('vm'), 'start');
});

test('what comes by itself after another such is waited for as well', async () => {
  const locks = new KeyLocks();
  const first = locks.tryAcquire('vm', 'a look', { isByItself: true });
  const wait = locks.acquire('vm', 'start', never);
  first?.[Symbol.dispose]();
  const second = locks.tryAcquire('vm', 'another look', { isByItself: true });
  second?.[Symbol.dispose]();
  assert.notEqual(await wait, undefined);
});

test('what goes on by itself and is slow is not waited for for ever', async (context) => {
  const late = new AbortController();
  context.mock.method(AbortSignal, 'timeout', () => late.signal);
  const locks = new KeyLocks();
  using _look = locks.tryAcquire('vm', 'a look', { isByItself: true });
  const start = locks.acquire('vm', 'start', never);
  late.abort();
  assert.equal(await start, undefined);
});

test('who waits for what goes on by itself and has had enough is told why', async () => {
  const locks = new KeyLocks();
  using _look = locks.tryAcquire('vm', 'a look', { isByItself: true });
  const enough = new AbortController();
  const start = locks.acquire('vm', 'start', enough.signal);
  enough.abort(new Error('enough'));
  await assert.rejects(start, /enough/);
  assert.equal(locks.purposeOf('vm'), 'a look');
});
