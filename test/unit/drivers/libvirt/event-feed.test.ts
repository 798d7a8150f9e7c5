import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HypervisorEvent } from '../../../../src/drivers/hypervisor-events.ts';
import { EventFeed } from '../../../../src/drivers/libvirt/event-feed.ts';

const iteration = (count: number): HypervisorEvent => ({
  kind: 'migration-iteration',
  uid: 'a',
  iteration: count,
});

test('everyone who watches gets every event, from the call on', async () => {
  const feed = new EventFeed();
  feed.publish(iteration(0));
  const controller = new AbortController();
  const watchers = [feed.watch(controller.signal), feed.watch(controller.signal)];
  feed.publish(iteration(1));
  feed.publish(iteration(2));
  for (const watcher of watchers) {
    const seen: HypervisorEvent[] = [];
    for await (const event of watcher) {
      seen.push(event);
      if (seen.length === 2) break;
    }
    assert.deepEqual(seen, [iteration(1), iteration(2)]);
  }
});

test('a watcher that waits ends when its signal is aborted', async () => {
  const controller = new AbortController();
  const watcher = new EventFeed().watch(controller.signal);
  const ended = (async () => {
    for await (const event of watcher) assert.fail(event.kind);
  })();
  controller.abort();
  await ended;
});

test('a watcher that lags keeps the newest events', async () => {
  const feed = new EventFeed();
  const watcher = feed.watch(new AbortController().signal);
  for (let count = 0; count < 1500; count += 1) feed.publish(iteration(count));
  for await (const event of watcher) {
    assert.deepEqual(event, iteration(500));
    break;
  }
});
