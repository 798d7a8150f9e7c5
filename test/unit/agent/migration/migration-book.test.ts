import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration, MigrationFilter } from '../../../../src/agent/migration/migration.ts';
import {
  isListedAfter,
  MigrationBook,
  orderKey,
} from '../../../../src/agent/migration/migration-book.ts';
import { MigrationStore } from '../../../../src/agent/migration/migration-store.ts';
import { NO_PROGRESS } from '../../../../src/agent/migration/progress.ts';
import { pageOf } from '../../../../src/agent/reports/paging.ts';
import type { WatchCursor, WatchEvent } from '../../../../src/agent/reports/report.ts';
import { ReportOriginSource } from '../../../../src/agent/reports/report-origin-source.ts';
import { parseLabelSelector } from '../../../../src/core/label-selector.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { migrationRecord } from './migration-record.ts';

const ALL: MigrationFilter = { activeOnly: false, id: undefined, vmUid: undefined, labels: [] };

function newOrigins(): ReportOriginSource {
  return new ReportOriginSource({ nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 3 });
}

function openBook(journal: MemoryJournal): Promise<MigrationBook> {
  return MigrationBook.load(new MigrationStore(journal.database), newOrigins());
}

function idsOf(migrations: readonly Migration[]): readonly string[] {
  return migrations.map(({ id }) => id);
}

/** What a watch tells until a message for which the condition holds. */
async function watchUntil(
  book: MigrationBook,
  ends: (event: WatchEvent<Migration>) => boolean,
  options: { readonly filter?: MigrationFilter; readonly cursor?: WatchCursor } = {},
): Promise<{ readonly told: readonly string[]; readonly cursor: WatchCursor }> {
  const told: string[] = [];
  const { filter = ALL, cursor } = options;
  for await (const event of book.watch(filter, cursor, AbortSignal.timeout(5_000))) {
    told.push(
      'object' in event ? `${event.type} ${event.object.id} ${event.object.phase}` : event.type,
    );
    if (ends(event)) return { told, cursor: event.origin };
  }
  throw new Error('The watch has ended');
}

const isSynced = (event: WatchEvent<Migration>): boolean => event.type === 'synced';

test('the newest come first, and the filter decides which', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  await book.begin(migrationRecord('m-1', { startedAtMs: 1_000 }));
  await book.begin(migrationRecord('m-2', { startedAtMs: 900, labels: { team: 'red' } }));
  await book.begin(migrationRecord('m-3', { startedAtMs: 1_000, vmUid: 'other' }));
  await book.move('m-1', 'failed');
  assert.deepEqual(idsOf(book.list(ALL)), ['m-3', 'm-1', 'm-2']);
  assert.deepEqual(idsOf(book.list({ ...ALL, activeOnly: true })), ['m-3', 'm-2']);
  assert.deepEqual(idsOf(book.list({ ...ALL, vmUid: 'other' })), ['m-3']);
  const labels = parseLabelSelector('team in (red,green)');
  assert.deepEqual(idsOf(book.list({ ...ALL, labels })), ['m-2']);
});

test('pages go on after the last one listed, though newer ones have come', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  const pageFrom = (token: string) =>
    pageOf(
      book.list(ALL),
      { size: 2, token },
      { keyOf: orderKey, isAfter: isListedAfter, filter: ALL, origin: newOrigins().current() },
    );
  for (const at of [1, 2, 3]) await book.begin(migrationRecord(`m-${at}`, { startedAtMs: at }));
  const first = pageFrom('');
  assert.deepEqual(idsOf(first.items), ['m-3', 'm-2']);
  await book.begin(migrationRecord('m-4', { startedAtMs: 4 }));
  const second = pageFrom(first.nextToken);
  assert.deepEqual([idsOf(second.items), second.nextToken], [['m-1'], '']);
});

test('a watcher is told of each phase, and of one that has ended as deleted if only active ones count', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  await book.begin(migrationRecord('m-1'));
  const { cursor } = await watchUntil(book, isSynced);
  await book.move('m-1', 'copying');
  await book.move('m-1', 'cancelled');
  const phases = await watchUntil(book, isSynced, { cursor });
  assert.deepEqual(phases.told, ['modified m-1 copying', 'modified m-1 cancelled', 'synced']);
  const filter = { ...ALL, activeOnly: true };
  const active = await watchUntil(book, isSynced, { cursor, filter });
  assert.deepEqual(active.told, ['modified m-1 copying', 'deleted m-1 cancelled', 'synced']);
});

test('progress without end hides no phase from a slow watcher', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  await book.begin(migrationRecord('m-1'));
  const { cursor } = await watchUntil(book, isSynced);
  await book.move('m-1', 'copying');
  for (let iteration = 1; iteration <= 10_000; iteration++) {
    book.setProgress('m-1', { ...NO_PROGRESS, iteration });
    book.note('m-1', `iteration ${iteration}`);
  }
  await book.move('m-1', 'cleaning-up');
  await book.move('m-1', 'completed');
  const { told } = await watchUntil(book, isSynced, { cursor });
  assert.deepEqual(told, [
    'modified m-1 copying',
    'modified m-1 copying',
    'modified m-1 cleaning-up',
    'modified m-1 completed',
    'synced',
  ]);
  assert.equal(book.get('m-1').progress.iteration, 10_000);
});

test('progress that does not change is no news, nor is that of one that has ended', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  await book.begin(migrationRecord('m-1'));
  book.setProgress('m-1', { ...NO_PROGRESS, iteration: 1 });
  const { cursor } = await watchUntil(book, isSynced);
  book.setProgress('m-1', { ...NO_PROGRESS, iteration: 1 });
  await book.move('m-1', 'failed');
  book.setProgress('m-1', { ...NO_PROGRESS, iteration: 2 });
  book.note('m-1', 'too late');
  const { told } = await watchUntil(book, isSynced, { cursor });
  assert.deepEqual(told, ['modified m-1 failed', 'synced']);
  assert.equal(book.get('m-1').progress.iteration, 1);
});

test('each change of progress raises the revision by one, and looking at it raises nothing', async () => {
  using journal = new MemoryJournal();
  const origins = newOrigins();
  const book = await MigrationBook.load(new MigrationStore(journal.database), origins);
  await book.begin(migrationRecord('m-1'));
  const changes = [
    { ...NO_PROGRESS, iteration: 1 },
    { ...NO_PROGRESS, iteration: 1, wireBytes: 1n },
    { ...NO_PROGRESS, iteration: 1, wireBytes: 1n, estimatedMsLeft: 5 },
    { ...NO_PROGRESS, iteration: 1, wireBytes: 1n },
  ];
  for (const progress of changes) {
    const { revision } = origins.current();
    book.setProgress('m-1', progress);
    assert.equal(book.get('m-1').origin.revision, revision + 1);
    assert.equal(origins.current().revision, revision + 1);
  }
  book.note('m-1', 'Waiting');
  const { revision } = origins.current();
  assert.equal(book.get('m-1').origin.revision, revision);
  book.setProgress('m-1', { ...NO_PROGRESS, iteration: 1, wireBytes: 1n });
  book.note('m-1', 'Waiting');
  book.progressOf('m-1');
  book.list(ALL);
  await book.find('m-1');
  await watchUntil(book, isSynced);
  assert.equal(origins.current().revision, revision);
});

test('a phase that takes its time to be recorded takes back no progress', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  const book = await MigrationBook.load(store, newOrigins());
  await book.begin(migrationRecord('m-1'));
  book.setProgress('m-1', { ...NO_PROGRESS, iteration: 1 });
  const update = store.update.bind(store);
  store.update = async (record) => {
    book.setProgress('m-1', { ...NO_PROGRESS, iteration: 2 });
    return await update(record);
  };
  await book.move('m-1', 'copying');
  assert.equal(book.get('m-1').progress.iteration, 2);
});

test('an agent that starts anew knows them all, and no cursor of the one before', async () => {
  using journal = new MemoryJournal();
  const killed = await openBook(journal);
  await killed.begin(migrationRecord('m-1'));
  await killed.move('m-1', 'failed');
  await killed.begin(migrationRecord('m-2', { startedAtMs: 2_000 }));
  const book = await openBook(journal);
  assert.deepEqual(idsOf(book.list(ALL)), ['m-2', 'm-1']);
  const { told } = await watchUntil(book, isSynced, { cursor: { agentEpoch: 2, revision: 2 } });
  assert.deepEqual(told, ['reset', 'added m-1 failed', 'added m-2 preparing', 'synced']);
});
