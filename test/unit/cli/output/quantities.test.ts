import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import {
  formatBytes,
  formatQuantity,
  parseQuantity,
} from '../../../../src/cli/output/quantities.ts';

test('quantities have the units of Kubernetes', () => {
  assert.equal(parseQuantity('512Mi'), 512n * 1024n ** 2n);
  assert.equal(parseQuantity('1G'), 1_000_000_000n);
  assert.equal(parseQuantity('1.5Gi'), 1_610_612_736n);
  assert.equal(parseQuantity('1048576'), 1_048_576n);
});

test('what is no quantity is refused', () => {
  for (const text of ['', 'Mi', '-1Mi', '1MiB', '1 Mi', '0x10', '1e3', '0.5', '1.0000000001Gi']) {
    assert.equal(parseQuantity(text), undefined, text);
  }
});

test('a formatted quantity is read back as the same number of bytes', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2n ** 59n }),
      (bytes) => parseQuantity(formatQuantity(bytes)) === bytes,
    ),
  );
});

test('quantities are printed in the largest unit that is exact', () => {
  assert.equal(formatQuantity(2n * 1024n ** 3n), '2Gi');
  assert.equal(formatQuantity(1536n * 1024n ** 2n), '1536Mi');
  assert.equal(formatQuantity(1000n), '1000');
});

test('bytes for people have one decimal at most', () => {
  assert.equal(formatBytes(1_610_612_736n), '1.5Gi');
  assert.equal(formatBytes(536_870_912n), '512Mi');
  assert.equal(formatBytes(999n), '999B');
});
