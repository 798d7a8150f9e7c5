import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EventNote } from '../../../../src/agent/events/event.ts';
import { EventBook } from '../../../../src/agent/events/event-book.ts';
import { EventManager } from '../../../../src/agent/events/event-manager.ts';
import { EventStore } from '../../../../src/agent/events/event-store.ts';
import { ReportOriginSource } from '../../../../src/agent/reports/report-origin-source.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { noted, vmNamed } from './notes.ts';

const never = new AbortController().signal;
const ALL = { vmUid: undefined, vmName: undefined, namespace: undefined, type: undefined };
const WHOLE = { size: 0, token: '' };

async function open(journal: MemoryJournal) {
  const store = new EventStore(journal.database);
  const origins = new ReportOriginSource({ nodeName: 'a', nodeBootId: 'boot', agentEpoch: 1 });
  const book = await EventBook.load({ store, origins, log: createLogger('silent'), gatherMs: 0 });
  const events = new EventManager({ store, book, origins });
  return {
    store,
    book,
    events,
    note: (...notes: readonly EventNote[]) => book.note(notes, []),
    list: async () => {
      const { items } = await events.list({ ...ALL, sinceMs: undefined }, WHOLE);
      return items.map(({ vm, reason, count }) => `${vm.name} ${reason} ${count}`);
    },
  };
}

test('what happens again is counted, with its newest words and operation', async () => {
  using journal = new MemoryJournal();
  const { note, book, events } = await open(journal);
  note(noted('BackOff', { message: 'at 12:00', sameAs: '', atMs: 1_000, operationId: 'one' }));
  note(noted('BackOff', { message: 'at 12:01', sameAs: '', atMs: 61_000, operationId: 'two' }));
  await book.flush();
  const [event, ...others] = (await events.list({ ...ALL, sinceMs: undefined }, WHOLE)).items;
  assert.deepEqual(others, []);
  assert.equal(event?.count, 2);
  assert.equal(event.message, 'at 12:01');
  assert.equal(event.operationId, 'two');
  assert.deepEqual([event.firstAtMs, event.lastAtMs], [1_000, 61_000]);
});

test('what differs in VM, reason, cause, requester or words is another event', async () => {
  using journal = new MemoryJournal();
  const { note, book, list } = await open(journal);
  note(
    noted('Started'),
    noted('Started', { vm: vmNamed('db') }),
    noted('Resumed'),
    noted('Started', { cause: 'Other' }),
    noted('Started', { requestedBy: 'unix:root' }),
    noted('Started', { message: 'Other words' }),
  );
  await book.flush();
  assert.equal((await list()).length, 6);
});

test('what happens again after long is another event', async () => {
  using journal = new MemoryJournal();
  const { note, book, list } = await open(journal);
  note(noted('Started', { atMs: 0 }), noted('Started', { atMs: 600_001 }));
  await book.flush();
  assert.deepEqual(await list(), ['web Started 1', 'web Started 1']);
});

test('an agent that is started anew goes on counting', async () => {
  using journal = new MemoryJournal();
  const first = await open(journal);
  first.note(noted('Started'));
  await first.book.flush();
  const second = await open(journal);
  second.note(noted('Started'));
  await second.book.flush();
  assert.deepEqual(await second.list(), ['web Started 2']);
});

test('a VM to which something new happens all the time pushes out its own events, and not those of others', async () => {
  using journal = new MemoryJournal();
  const { note, book, list, events } = await open(journal);
  note(noted('Created', { vm: vmNamed('db') }));
  for (let round = 0; round < 12; round += 1) {
    for (let one = 0; one < 50; one += 1) {
      note(noted('Changed', { message: `Change ${round} ${one}` }));
    }
    await book.flush();
  }
  const all = await list();
  assert.equal(all.filter((text) => text.startsWith('web ')).length, 100);
  assert.ok(all.includes('db Created 1'));
  const watched: string[] = [];
  for await (const event of events.watch(ALL, undefined, never)) {
    if (event.type === 'synced') break;
    if (event.type === 'added') watched.push(event.object.vm.name);
  }
  assert.equal(watched.length, 101);
  assert.ok(watched.includes('db'));
});

test('an event that happens on and on outlives its VM and newer ones that happened once', async () => {
  using journal = new MemoryJournal();
  const { note, book, list } = await open(journal);
  for (let round = 0; round < 150; round += 1) {
    note(noted('Started'), noted('Changed', { message: `Change ${round}` }));
    await book.flush();
  }
  assert.ok((await list()).includes('web Started 150'));
});

test('nothing is told before it is in the journal', async () => {
  using journal = new MemoryJournal();
  const { note, book, events } = await open(journal);
  note(noted('Created'));
  const types: string[] = [];
  for await (const event of events.watch(ALL, undefined, never)) {
    types.push(event.type === 'added' ? event.object.reason : event.type);
    if (event.type === 'synced') {
      assert.deepEqual(journal.rows('SELECT reason FROM event'), []);
      await book.flush();
    }
    if (event.type === 'added') break;
  }
  assert.deepEqual(types, ['reset', 'synced', 'Created']);
});

test('what a full disk has no room for is told all the same, and written when there is room', async () => {
  using journal = new MemoryJournal();
  const { note, book, list, events } = await open(journal);
  journal.setRoom(0);
  note(noted('PausedUnexpectedly'));
  await book.flush();
  note(noted('PausedUnexpectedly'));
  await book.flush();
  const told: number[] = [];
  for await (const event of events.watch(ALL, undefined, never)) {
    if (event.type === 'synced') break;
    if (event.type === 'added') told.push(event.object.count);
  }
  assert.deepEqual(told, [2]);
  assert.deepEqual(await list(), []);
  journal.setRoom(Number.POSITIVE_INFINITY);
  await book.flush();
  assert.deepEqual(await list(), ['web PausedUnexpectedly 2']);
});

test('what comes together is one write, and what is left at the end is written', async () => {
  using journal = new MemoryJournal();
  const { note, book, list } = await open(journal);
  const stop = new AbortController();
  const running = book.run(stop.signal);
  note(noted('Created'));
  note(noted('Started'));
  stop.abort(new Error('stopping'));
  await assert.rejects(running, /stopping/);
  assert.deepEqual(await list(), ['web Started 1', 'web Created 1']);
});

test('a list has a page after another, by VM, namespace, type and time', async () => {
  using journal = new MemoryJournal();
  const { note, book, events } = await open(journal);
  const other = { namespace: 'shop', name: 'db', uid: 'uid-of-shop-db' };
  note(
    noted('Created', { atMs: 1_000 }),
    noted('BackOff', { atMs: 2_000 }),
    noted('Created', { vm: other, atMs: 3_000 }),
  );
  await book.flush();
  const reasons = async (filter: object, size = 0, token = '') => {
    const page = await events.list({ ...ALL, sinceMs: undefined, ...filter }, { size, token });
    return {
      told: page.items.map(({ vm, reason }) => `${vm.name} ${reason}`),
      next: page.nextToken,
    };
  };
  const first = await reasons({}, 2);
  assert.deepEqual(first.told, ['db Created', 'web BackOff']);
  assert.deepEqual((await reasons({}, 2, first.next)).told, ['web Created']);
  assert.deepEqual((await reasons({ namespace: 'shop' })).told, ['db Created']);
  assert.deepEqual((await reasons({ vmUid: other.uid })).told, ['db Created']);
  assert.deepEqual((await reasons({ vmName: { namespace: 'shop', name: 'web' } })).told, []);
  assert.deepEqual((await reasons({ type: 'warning' })).told, ['web BackOff']);
  assert.deepEqual((await reasons({ sinceMs: 2_000 })).told, ['db Created', 'web BackOff']);
  await assert.rejects(reasons({ type: 'warning' }, 2, first.next), { reason: 'INVALID_REQUEST' });
});

test('what is older than it is kept, and what is too many, is forgotten from its oldest on', async () => {
  using journal = new MemoryJournal();
  const { note, book, list, store } = await open(journal);
  note(noted('Created', { atMs: 1_000 }), noted('Started', { atMs: 5_000 }));
  note(noted('Paused', { atMs: 6_000 }), noted('Resumed', { atMs: 7_000 }));
  await book.flush();
  await store.prune(11_000, 10, 9_000);
  assert.deepEqual(await list(), ['web Resumed 1', 'web Paused 1', 'web Started 1']);
  await store.prune(11_000, 2, 9_000);
  assert.deepEqual(await list(), ['web Resumed 1', 'web Paused 1']);
});
