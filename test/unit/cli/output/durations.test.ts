import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatAge,
  formatDuration,
  parseDurationMs,
} from '../../../../src/cli/output/durations.ts';

test('durations may have several units', () => {
  assert.equal(parseDurationMs('100ms'), 100);
  assert.equal(parseDurationMs('1.5s'), 1_500);
  assert.equal(parseDurationMs('1h30m'), 5_400_000);
});

test('what is no duration is refused', () => {
  for (const text of ['', '10', 's', '-1s', '1 s', '1y', '1m2', 'ms']) {
    assert.equal(parseDurationMs(text), undefined, text);
  }
});

test('durations for people have two units at most', () => {
  assert.equal(formatDuration(84.4), '84ms');
  assert.equal(formatDuration(12_345), '12.3s');
  assert.equal(formatDuration(250_000), '4m10s');
  assert.equal(formatDuration(3 * 86_400_000 + 2 * 3_600_000), '3d2h');
});

test('an age is in whole seconds, and never negative when clocks differ', () => {
  assert.equal(formatAge(12_900), '12s');
  assert.equal(formatAge(-5_000), '0s');
});
