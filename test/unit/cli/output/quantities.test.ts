import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatBytes, formatRate } from '../../../../src/cli/output/quantities.ts';

test('bytes for people have one decimal at most', () => {
  assert.equal(formatBytes(1_610_612_736n), '1.5Gi');
  assert.equal(formatBytes(536_870_912n), '512Mi');
  assert.equal(formatBytes(999n), '999B');
});

test('a rate is so many bytes a second', () => {
  assert.equal(formatRate(2048n), '2Ki/s');
});
