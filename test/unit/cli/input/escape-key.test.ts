import assert from 'node:assert/strict';
import { test } from 'node:test';
import { escapeKeyArgument } from '../../../../src/cli/input/escape-key.ts';

test('a key with Ctrl is the byte that terminals send for it', () => {
  assert.deepEqual(escapeKeyArgument('^]'), { name: '^]', byte: 0x1d });
  assert.deepEqual(escapeKeyArgument('^a'), { name: '^A', byte: 1 });
  assert.deepEqual(escapeKeyArgument('^@'), { name: '^@', byte: 0 });
  assert.deepEqual(escapeKeyArgument('none'), { name: 'none', byte: undefined });
  for (const wrong of ['', ']', '^', '^]]', '^1', 'ctrl-]', '~.']) {
    assert.throws(() => escapeKeyArgument(wrong), /must be a key with Ctrl/, wrong);
  }
});
