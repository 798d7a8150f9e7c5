import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import type { OperationRecord } from '../../../../src/agent/operations/operation.ts';
import { Restarts } from '../../../../src/agent/runs/restarts.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { operationRecord } from '../operations/operation-record.ts';

const NOON_MS = Date.UTC(2026, 0, 2, 12);
const UID = 'u';

/** Restarts by a clock that a test sets. */
function withClock(t: TestContext) {
  let nowMs = 0;
  let start: OperationRecord | undefined;
  t.mock.method(performance, 'now', () => nowMs);
  t.mock.method(Date, 'now', () => NOON_MS + nowMs);
  const restarts = new Restarts({
    requests: { lastStart: () => start },
    onChange: () => undefined,
  });
  return {
    restarts,
    nowMs: () => nowMs,
    pass: (ms: number) => {
      nowMs += ms;
    },
    /** The last start has ended like this. */
    started: (state: 'succeeded' | 'failed', message = '') => {
      const error = {
        reason: 'HYPERVISOR_FAILURE',
        message,
        metadata: {},
        violations: [],
      } as const;
      start = operationRecord(randomUUID(), {
        kind: 'start',
        state,
        endedAtMs: Date.now(),
        error: state === 'failed' ? error : undefined,
      });
    },
  };
}

test('a guest that ends two seconds after each start is started eight times in ten minutes at the most', (t) => {
  const { restarts, nowMs, pass, started } = withClock(t);
  // The one with which it began, which nobody here has asked for.
  const startedAtMs = [0];
  started('succeeded');
  while (nowMs() < 3_600_000) {
    pass(2_000);
    pass(restarts.waitMs(UID));
    restarts.begin(UID);
    started('succeeded');
    startedAtMs.push(nowMs());
  }
  for (const [index, fromMs] of startedAtMs.entries()) {
    const within = startedAtMs.slice(index).filter((atMs) => atMs <= fromMs + 600_000);
    assert.ok(within.length <= 8, `${within.length} from ${fromMs} ms on`);
  }
  assert.equal(restarts.report(UID)?.attempts, startedAtMs.length - 1);
});

test('a VM that has run for ten minutes is well: nothing is told of it, and it begins anew', (t) => {
  const { restarts, pass, started } = withClock(t);
  const firstMs = restarts.waitMs(UID);
  pass(firstMs);
  restarts.begin(UID);
  started('succeeded');
  pass(1_000);
  assert.equal(restarts.waitMs(UID), 2 * firstMs);
  restarts.settle(UID);
  assert.equal(restarts.report(UID)?.attempts, 1);
  pass(700_000);
  assert.equal(restarts.report(UID), undefined);
  assert.equal(restarts.waitMs(UID), firstMs);
});

test('it is told how many starts have failed in a row, why the last has, and when the next one comes', (t) => {
  const { restarts, pass, started } = withClock(t);
  for (const word of ['one', 'two', 'three']) {
    pass(restarts.waitMs(UID));
    restarts.begin(UID);
    started('failed', word);
    // Seen again and again.
    restarts.plan(UID);
    restarts.plan(UID);
  }
  const waitMs = restarts.waitMs(UID);
  assert.deepEqual(restarts.report(UID), {
    attempts: 3,
    failedStarts: 3,
    nextStartMs: Date.now() + waitMs,
    lastFailure: 'three',
    lack: undefined,
  });
  pass(waitMs);
  restarts.begin(UID);
  started('succeeded');
  restarts.settle(UID);
  const { failedStarts, lastFailure, nextStartMs } = restarts.report(UID) ?? {};
  assert.deepEqual([failedStarts, lastFailure, nextStartMs], [0, '', undefined]);
});

test('a start that failed before this agent was there counts as one', (t) => {
  const { restarts, started } = withClock(t);
  started('failed', 'no');
  restarts.plan(UID);
  const { attempts, failedStarts, lastFailure } = restarts.report(UID) ?? {};
  assert.deepEqual([attempts, failedStarts, lastFailure], [1, 1, 'no']);
});

test('a start that failed long ago is none of those in a row', (t) => {
  const { restarts, pass, started } = withClock(t);
  started('failed', 'no');
  pass(700_000);
  restarts.plan(UID);
  const { failedStarts, lastFailure } = restarts.report(UID) ?? {};
  assert.deepEqual([failedStarts, lastFailure], [0, '']);
});

test('what is refused for want of memory is tried soon once there is some, and not at every look', (t) => {
  const { restarts, pass } = withClock(t);
  const firstMs = restarts.waitMs(UID);
  for (let tries = 0; tries < 5; tries += 1) {
    pass(restarts.waitMs(UID));
    restarts.refuse(UID, new AgentError('NODE_CAPACITY_EXCEEDED', 'full'));
  }
  assert.equal(restarts.lackOf(UID), 'memory');
  assert.equal(restarts.waitMs(UID), 32 * firstMs);
  restarts.hasten(UID);
  restarts.hasten(UID);
  assert.equal(restarts.waitMs(UID), firstMs);
  assert.equal(restarts.report(UID)?.nextStartMs, Date.now() + firstMs);
  pass(firstMs);
  restarts.refuse(UID, new AgentError('NODE_CAPACITY_EXCEEDED', 'full'));
  restarts.hasten(UID);
  assert.equal(restarts.waitMs(UID), firstMs);
});
