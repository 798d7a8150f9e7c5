import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { Notifier } from '../../../src/core/notifier.ts';

const never = new AbortController().signal;

test('a change between looking and waiting is not missed', async () => {
  const notifier = new Notifier();
  const seen = notifier.version;
  notifier.notify();
  await notifier.changed(seen, never);
});

test('all who wait are woken by one change', async () => {
  const notifier = new Notifier();
  const seen = notifier.version;
  const waiting = Promise.all([notifier.changed(seen, never), notifier.changed(seen, never)]);
  notifier.notify();
  await waiting;
});

test('an abort ends the waiting with its reason and leaves no listener', async () => {
  const notifier = new Notifier();
  const controller = new AbortController();
  const waiting = notifier.changed(notifier.version, controller.signal);
  controller.abort(new Error('enough'));
  await assert.rejects(waiting, /enough/);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
});
