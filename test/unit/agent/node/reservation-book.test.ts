import assert from 'node:assert/strict';
import { mock, type TestContext, test } from 'node:test';
import type { Reservation } from '../../../../src/agent/node/node.ts';
import { MAX_TTL_MS, ReservationBook } from '../../../../src/agent/node/reservation-book.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { until } from '../../../fixtures/until.ts';
import { definitionOf, machineOf } from './vms-of-a-node.ts';

const log = createLogger('silent');
const FOR_WEB = {
  id: 'r-1',
  vm: { namespace: 'test', name: 'web', uid: undefined },
  amounts: { cpu: 1_000, memory: 100 },
  ttlMs: 60_000,
};
const anything = (): void => {};
const refuse = (): void => {
  throw new Error('no room');
};

function idsOf(reservations: readonly Reservation[]): readonly string[] {
  return reservations.map(({ id }) => id);
}

/** A book that forgets what has ended, until the test is over. */
async function openBook(t: TestContext, journal: MemoryJournal): Promise<ReservationBook> {
  const book = await ReservationBook.load(new ReservationStore(journal.database), log);
  const stop = new AbortController();
  const running = book.run(stop.signal).catch(() => {});
  t.after(async () => {
    stop.abort(new Error('enough'));
    await running;
  });
  return book;
}

function storedIds(journal: MemoryJournal): readonly unknown[] {
  return journal.rows('SELECT id FROM reservation ORDER BY id').map((row) => row['id']);
}

test('what is kept is listed by its id, found by its name, and in the journal', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  await book.add({ ...FOR_WEB, id: 'r-2', vm: { ...FOR_WEB.vm, name: 'db' } }, anything);
  const before = Date.now();
  const kept = await book.add(FOR_WEB, anything);
  assert.ok(kept.expiresAtMs >= before + 60_000 && kept.expiresAtMs <= Date.now() + 60_000);
  assert.deepEqual(idsOf(book.list()), ['r-1', 'r-2']);
  assert.equal(book.findByName('test', 'db')?.id, 'r-2');
  assert.equal(book.findByName('other', 'db'), undefined);
  assert.deepEqual(storedIds(journal), ['r-1', 'r-2']);
});

test('an agent that was killed finds all of it again, and knows a repeated request', async (t) => {
  using journal = new MemoryJournal();
  const killed = await ReservationBook.load(new ReservationStore(journal.database), log);
  const kept = await killed.add(FOR_WEB, anything);
  const book = await openBook(t, journal);
  assert.deepEqual(book.list(), [kept]);
  assert.deepEqual(await book.add(FOR_WEB, assert.fail), kept);
});

test('the same request again answers with what is kept, as long as it was', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  const kept = await book.add(FOR_WEB, anything);
  assert.deepEqual(await book.add({ ...FOR_WEB, ttlMs: 600_000 }, assert.fail), kept);
});

test('an id of another VM, or of other amounts, is refused', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  await book.add(FOR_WEB, anything);
  for (const change of [
    { vm: { ...FOR_WEB.vm, name: 'db' } },
    { vm: { ...FOR_WEB.vm, uid: '6f9f5a54-6f0c-4b3e-9d0f-0b7f2f3c7a01' } },
    { amounts: { cpu: 1_000, memory: 101 } },
  ]) {
    await assert.rejects(book.add({ ...FOR_WEB, ...change }, assert.fail), {
      reason: 'RESERVATION_ALREADY_EXISTS',
      metadata: { reservationId: 'r-1' },
    });
  }
});

test('what may not be kept is not', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  await assert.rejects(book.add(FOR_WEB, refuse), /no room/);
  assert.deepEqual(book.list(), []);
  assert.deepEqual(storedIds(journal), []);
});

test('it is kept from others while it is being written, and repeated requests wait for that', async () => {
  using journal = new MemoryJournal();
  const store = new ReservationStore(journal.database);
  const written = Promise.withResolvers<void>();
  const put = mock.method(store, 'put', () => written.promise);
  const book = await ReservationBook.load(store, log);
  const answers: Reservation[] = [];
  const both = [1, 2].map(async () => answers.push(await book.add(FOR_WEB, anything)));
  await until('it is being written', () => put.mock.callCount() === 1);
  assert.deepEqual(idsOf(book.list()), ['r-1']);
  assert.deepEqual(answers, []);
  written.resolve();
  await Promise.all(both);
  assert.deepEqual(idsOf(answers), ['r-1', 'r-1']);
  assert.equal(put.mock.callCount(), 1);
});

test('what cannot be written is not kept, and both who asked for it hear so', async () => {
  using journal = new MemoryJournal();
  const store = new ReservationStore(journal.database);
  const put = mock.method(store, 'put', async () => {
    throw new Error('the disk is full');
  });
  const book = await ReservationBook.load(store, log);
  const both = [book.add(FOR_WEB, anything), book.add(FOR_WEB, anything)];
  await Promise.all(both.map((one) => assert.rejects(one, /disk is full/)));
  assert.deepEqual(book.list(), []);
  put.mock.restore();
  assert.equal((await book.add(FOR_WEB, anything)).id, 'r-1');
});

test('what is removed or used up is gone, in the journal as well, and more than once', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  for (const end of [book.remove.bind(book), book.useUp.bind(book)]) {
    await book.add(FOR_WEB, anything);
    await end('r-1');
    await end('r-1');
    assert.deepEqual(book.list(), []);
    assert.deepEqual(storedIds(journal), []);
  }
});

test('one that is used up keeps nothing more, even if the journal cannot be written', async () => {
  using journal = new MemoryJournal();
  const store = new ReservationStore(journal.database);
  const book = await ReservationBook.load(store, log);
  await book.add(FOR_WEB, anything);
  mock.method(store, 'remove', async () => {
    throw new Error('the disk is full');
  });
  await assert.rejects(book.remove('r-1'), /disk is full/);
  assert.deepEqual(idsOf(book.list()), ['r-1']);
  await book.useUp('r-1');
  assert.deepEqual(book.list(), []);
});

test('one whose time is over ends by itself, and its id may be used again', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  await book.add({ ...FOR_WEB, id: 'r-9', vm: { ...FOR_WEB.vm, name: 'db' } }, anything);
  await book.add({ ...FOR_WEB, ttlMs: 20 }, anything);
  await until('the shorter one is forgotten', () => storedIds(journal).length === 1);
  assert.deepEqual(idsOf(book.list()), ['r-9']);
  assert.throws(() => book.assertFor('r-1', definitionOf(machineOf('64Mi'), { name: 'web' })), {
    reason: 'RESERVATION_NOT_FOUND',
  });
  const other = { ...FOR_WEB, amounts: { memory: 5 } };
  assert.deepEqual((await book.add(other, anything)).amounts, { memory: 5 });
});

test('one whose time is over counts for nothing before it is forgotten', async () => {
  using journal = new MemoryJournal();
  const store = new ReservationStore(journal.database);
  const book = await ReservationBook.load(store, log);
  await book.add({ ...FOR_WEB, ttlMs: 1 }, anything);
  await until('its time is over', () => book.list().length === 0);
  assert.equal(book.findByName('test', 'web'), undefined);
  await book.add({ ...FOR_WEB, amounts: { memory: 5 } }, anything);
  assert.deepEqual((await store.list())[0]?.amounts, { memory: 5 });
});

test('one whose time ended while there was no agent is forgotten at the start', async (t) => {
  using journal = new MemoryJournal();
  const { ttlMs: _, ...reservation } = FOR_WEB;
  const store = new ReservationStore(journal.database);
  await store.put({ ...reservation, expiresAtMs: Date.now() - 1 });
  const book = await openBook(t, journal);
  assert.deepEqual(book.list(), []);
  await until('it is forgotten', () => storedIds(journal).length === 0);
});

test('a clock that is set back makes nothing last longer', async (t) => {
  using journal = new MemoryJournal();
  const book = await openBook(t, journal);
  t.mock.timers.enable({ apis: ['Date'], now: 1_800_000_000_000 });
  await book.add({ ...FOR_WEB, ttlMs: 20 }, anything);
  t.mock.timers.setTime(1_000_000_000_000);
  await until('its time is over', () => book.list().length === 0);
});

test('a clock that was set back while there was no agent makes nothing last for ever', async (t) => {
  using journal = new MemoryJournal();
  const { ttlMs: _, ...reservation } = FOR_WEB;
  const store = new ReservationStore(journal.database);
  await store.put({ ...reservation, expiresAtMs: Date.now() + 100 * MAX_TTL_MS });
  const startedAt = performance.now();
  const book = await ReservationBook.load(store, log);
  assert.deepEqual(idsOf(book.list()), ['r-1']);
  t.mock.method(performance, 'now', () => startedAt + MAX_TTL_MS + 60_000);
  assert.deepEqual(book.list(), []);
});
