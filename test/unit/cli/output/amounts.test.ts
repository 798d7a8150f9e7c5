import assert from 'node:assert/strict';
import { test } from 'node:test';
import { amountText, freeText } from '../../../../src/cli/output/amounts.ts';

test('bytes are rounded for people, counts are not', () => {
  assert.equal(amountText('memory', '155968Ki'), '152Mi');
  assert.equal(amountText('cpu', '1500m'), '1500m');
  assert.equal(amountText('nvidia.com/gpu', '2048'), '2048');
});

test('what is left is never less than nothing, and not said of CPUs', () => {
  assert.equal(freeText('memory', '2Gi', '512Mi'), '1.5Gi');
  assert.equal(freeText('memory', '1Gi', '2Gi'), '0B');
  assert.equal(freeText('nvidia.com/gpu', '4', '1'), '3');
  assert.equal(freeText('cpu', '4', '8'), '');
});
