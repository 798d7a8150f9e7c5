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
