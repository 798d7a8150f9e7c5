import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { type PendingCall, PendingCalls } from '../../../../src/drivers/libvirt/pending-calls.ts';

function call(timeoutMs: number | undefined, onTimeout = () => new Error('late')): PendingCall {
  return {
    timeoutMs,
    onTimeout,
    toError: ({ message }) => new Error(message),
    onLost: (cause) => new Error('lost', { cause }),
  };
}

test('each call gets its own answer', async () => {
  const pending = new PendingCalls();
  const { signal } = new AbortController();
  const ids: number[] = [];
  const one = pending.add(call(undefined), (id) => ids.push(id), signal);
  const other = pending.add(call(undefined), (id) => ids.push(id), signal);
  pending.fail(ids[1] ?? 0, { kind: 'unexpected', message: 'broken', stack: '' });
  pending.resolve(ids[0] ?? 0, 'value');
  assert.equal(await one, 'value');
  await assert.rejects(other, /broken/);
  assert.equal(pending.size, 0);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('a call fails at its deadline, and a late answer is dropped', async () => {
  const pending = new PendingCalls();
  let sent = 0;
  const late = pending.add(call(5), (id) => (sent = id), new AbortController().signal);
  await assert.rejects(late, /late/);
  pending.resolve(sent, 'value');
});

test('aborting ends the waiting with its reason, and the deadline still finds a hung call', async () => {
  const pending = new PendingCalls();
  const controller = new AbortController();
  const { promise: timedOut, resolve } = Promise.withResolvers<void>();
  const hung = call(20, () => {
    resolve();
    return new Error('late');
  });
  const waiting = pending.add(hung, () => {}, controller.signal);
  const reason = new Error('enough');
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await timedOut;
  assert.equal(pending.size, 0);
});

test('losing the process fails all that waits', async () => {
  const pending = new PendingCalls();
  const waiting = pending.add(call(undefined), () => {}, new AbortController().signal);
  pending.loseAll(new Error('killed'));
  await assert.rejects(waiting, /lost/);
});
