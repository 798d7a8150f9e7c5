import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShutdownMark } from '../../../../src/agent/shutdown/shutdown-mark.ts';
import { ShutdownStore } from '../../../../src/agent/shutdown/shutdown-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';

/** A journal that outlives agents, and the clock of its host. */
class Host implements Disposable {
  readonly journal = new MemoryJournal();
  bootId = 'boot 1';
  clockMs = 1_000;

  load(): Promise<ShutdownMark> {
    const store = new ShutdownStore(this.journal.database);
    return ShutdownMark.load({ store, bootId: this.bootId, clock: () => this.clockMs });
  }

  [Symbol.dispose](): void {
    this.journal[Symbol.dispose]();
  }
}

test('a mark outlives the agent and its time goes on, whatever people do to the clock', async () => {
  using host = new Host();
  const mark = await host.load();
  assert.deepEqual([mark.isGoingDown, mark.leftMs], [false, Number.POSITIVE_INFINITY]);
  mark.assertNotGoingDown('Cannot start VM web');
  await mark.begin(60_000, 'unix:root');
  host.clockMs += 20_000;
  const next = await host.load();
  assert.deepEqual([next.isGoingDown, next.leftMs, next.halfLeftMs], [true, 40_000, 10_000]);
  assert.equal(next.record?.requestedBy, 'unix:root');
  assert.throws(() => next.assertNotGoingDown('Cannot start VM web'), {
    reason: 'NODE_SHUTTING_DOWN',
    message: /^Cannot start VM web: this node is being shut down/,
  });
});

test('guests have two minutes unless it is said otherwise', async () => {
  using host = new Host();
  const mark = await host.load();
  await mark.begin(undefined, 'unix:root');
  assert.equal(mark.leftMs, 120_000);
});

test('repeating it changes nothing, but for a time-out that is given again, which counts from then on', async () => {
  using host = new Host();
  const mark = await host.load();
  const first = await mark.begin(60_000, 'unix:root');
  host.clockMs += 50_000;
  assert.deepEqual(await mark.begin(undefined, 'somebody'), first);
  assert.equal(mark.leftMs, 10_000);
  const second = await mark.begin(30_000, 'somebody');
  assert.deepEqual([mark.leftMs, mark.halfLeftMs], [30_000, 15_000]);
  assert.deepEqual([second.requestedBy, second.startedAtMs], ['unix:root', first.startedAtMs]);
});

test('it is taken away for later agents too', async () => {
  using host = new Host();
  const mark = await host.load();
  await mark.begin(60_000, 'unix:root');
  await mark.end();
  assert.equal(mark.isGoingDown, false);
  assert.equal((await host.load()).isGoingDown, false);
});

test('after another boot it means nothing, and gives way to the next one', async () => {
  using host = new Host();
  await (await host.load()).begin(60_000, 'unix:root');
  host.bootId = 'boot 2';
  host.clockMs = 10;
  const mark = await host.load();
  assert.equal(mark.isGoingDown, false);
  await mark.begin(5_000, 'somebody');
  assert.deepEqual([mark.leftMs, mark.record?.requestedBy], [5_000, 'somebody']);
  assert.equal((await host.load()).record?.bootId, 'boot 2');
});
