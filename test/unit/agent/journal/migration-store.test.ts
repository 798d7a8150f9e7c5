import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from '../../../../src/agent/journal/journal.ts';
import { migrationRecord } from './migration-record.ts';

const EVERYTHING = { activeOnly: false, limit: 100 };

test('a migration comes back exactly as it was recorded', () => {
  using journal = Journal.inMemory();
  const record = migrationRecord('m-1', {
    progress: {
      memoryTotalBytes: 2n ** 60n,
      memoryProcessedBytes: 1n,
      memoryRemainingBytes: 0n,
      memoryBytesPerSecond: 5n,
      dirtyBytesPerSecond: 6n,
      iteration: 3,
      wireBytes: 7n,
      estimatedMsLeft: undefined,
      fractionDone: 0.5,
      stalledMs: 0,
    },
    reason: 'STREAM_FAILED',
  });
  journal.migrations.insert(record);
  assert.deepEqual(journal.migrations.get('m-1'), record);
});

test('recording a known id changes nothing and returns what is there', () => {
  using journal = Journal.inMemory();
  const first = migrationRecord('m-1');
  assert.equal(journal.migrations.insert(first).created, true);
  const second = journal.migrations.insert(migrationRecord('m-1', { vmName: 'other' }));
  assert.deepEqual(second, { record: first, created: false });
});

test('an update changes the fields it names and keeps the others', () => {
  using journal = Journal.inMemory();
  const record = migrationRecord('m-1');
  journal.migrations.insert(record);
  const changed = journal.migrations.update('m-1', { phase: 'copying', cancelRequested: true });
  assert.deepEqual(changed, { ...record, phase: 'copying', cancelRequested: true });
  assert.deepEqual(journal.migrations.get('m-1'), changed);
});

test('updating a migration that is not known fails', () => {
  using journal = Journal.inMemory();
  assert.throws(() => journal.migrations.update('m-1', { phase: 'copying' }), {
    reason: 'MIGRATION_NOT_FOUND',
  });
  assert.equal(journal.health().reason, 'Healthy');
});

test('a list has the newest first and can leave out what has ended', () => {
  using journal = Journal.inMemory();
  for (const [id, startedAtMs] of [
    ['a', 1],
    ['b', 3],
    ['c', 2],
  ] as const) {
    journal.migrations.insert(migrationRecord(id, { startedAtMs }));
  }
  journal.migrations.update('b', { phase: 'failed', endedAtMs: 9 });
  const ids = (filter: { activeOnly: boolean; limit: number }) =>
    journal.migrations.list(filter).map(({ id }) => id);
  assert.deepEqual(ids(EVERYTHING), ['b', 'c', 'a']);
  assert.deepEqual(ids({ activeOnly: true, limit: 100 }), ['c', 'a']);
  assert.deepEqual(ids({ activeOnly: false, limit: 1 }), ['b']);
});

test('the active ones of a role are listed in the order in which they started', () => {
  using journal = Journal.inMemory();
  journal.migrations.insert(migrationRecord('a', { startedAtMs: 2 }));
  journal.migrations.insert(migrationRecord('b', { startedAtMs: 1 }));
  journal.migrations.insert(migrationRecord('c', { role: 'destination' }));
  assert.deepEqual(
    journal.migrations.listActive('source').map(({ id }) => id),
    ['b', 'a'],
  );
});

test('pruning forgets the oldest that have ended and never an active one', () => {
  using journal = Journal.inMemory();
  journal.migrations.insert(migrationRecord('active', { startedAtMs: 0 }));
  for (let at = 1; at <= 5; at++) {
    journal.migrations.insert(migrationRecord(`m-${at}`, { startedAtMs: at, endedAtMs: at }));
  }
  assert.equal(journal.migrations.prune(2), 3);
  assert.deepEqual(
    journal.migrations.list(EVERYTHING).map(({ id }) => id),
    ['m-5', 'm-4', 'active'],
  );
});
