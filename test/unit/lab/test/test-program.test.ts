import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeProgram } from '../../../../lab/test/test-program.ts';

const LIMIT_MS = 60_000;

test('the last line of a program counts its tests, and FAIL names those that failed', () => {
  const output = 'FAIL x\n  because\n42 passed, 1 failed\n';
  assert.deepEqual(judgeProgram(output, { code: 1, end: 'by itself' }, LIMIT_MS), {
    passed: 42,
    failed: 1,
    failures: ['x'],
  });
});

test('a program that fails without counting counts as one failure', () => {
  assert.deepEqual(judgeProgram('CMake Error', { code: 1, end: 'by itself' }, LIMIT_MS), {
    passed: 0,
    failed: 1,
    failures: ['ended with 1'],
  });
});

test('a program that was killed has failed, whatever it had counted', () => {
  const run = { code: undefined, end: 'over its limit' } as const;
  assert.deepEqual(judgeProgram('42 passed, 0 failed\n', run, LIMIT_MS), {
    passed: 42,
    failed: 1,
    failures: ['killed after 1m'],
  });
});
