import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAST } from '../../../../lab/test/suites.ts';
import type { Round, TestResult } from '../../../../lab/test/test-result.ts';
import { describeOverruns, describeResult, summarize } from '../../../../lab/test/test-summary.ts';

function resultOf(name: string, fields: Partial<TestResult> = {}): TestResult {
  const none = { passed: 1, failed: 0, failures: [], skips: [], durationMs: 1000, output: '' };
  return { name, ...none, ...fields };
}

function roundOf(...results: readonly TestResult[]): Round {
  return { suites: [{ suite: FAST, results, durationMs: 2000 }] };
}

test('a file that passes is one line, one that fails shows all that it wrote', () => {
  assert.equal(describeResult(resultOf('x', { output: 'much' })), 'ok     x: 1 passed, 1s');
  const failed = resultOf('x', { failed: 1, failures: ['breaks'], output: 'much\n' });
  assert.equal(describeResult(failed), 'FAILED x: 1 passed, 1 failed, 1s\n  breaks\nmuch');
});

test('the longest files come first, each by its slowest round', () => {
  const rounds = [
    roundOf(resultOf('x', { durationMs: 4000 }), resultOf('y')),
    roundOf(resultOf('x'), resultOf('y', { durationMs: 5000 })),
  ];
  const lines = summarize(rounds);
  assert.deepEqual(lines.slice(0, 3), ['Took longest:', '  5s y', '  4s x']);
});

test('repeated runs end with each round and with whatever has ever failed', () => {
  const failed = { passed: 0, failed: 1, failures: ['breaks'] };
  const rounds = [
    roundOf(resultOf('x')),
    roundOf(resultOf('x', failed)),
    roundOf(resultOf('x', failed)),
  ];
  assert.deepEqual(summarize(rounds), [
    'Round 1: 1 passed, 0 failed, 2s',
    'Round 2: 0 passed, 1 failed, 2s',
    'Round 3: 0 passed, 1 failed, 2s',
    'Failed:',
    '  x: breaks (round 2, 3)',
  ]);
});

test('what was skipped for a capability is counted', () => {
  const rounds = [roundOf(resultOf('x', { skips: ['netem', 'netem', 'rbd'] }))];
  assert.deepEqual(summarize(rounds), ['Skipped for what this machine lacks: netem (2), rbd (1)']);
});

test('a suite that takes longer than its limit is told of', () => {
  const run = { suite: FAST, results: [], durationMs: FAST.limitMinutes * 60_000 };
  assert.deepEqual(describeOverruns([run]), []);
  assert.deepEqual(describeOverruns([{ ...run, durationMs: run.durationMs + 1000 }]), [
    'Suite fast took 12m1s, more than its 12 minutes',
  ]);
});
