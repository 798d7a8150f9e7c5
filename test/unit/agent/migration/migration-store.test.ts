import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MigrationStore } from '../../../../src/agent/migration/migration-store.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { migrationRecord } from './migration-record.ts';

const EVERYTHING = { activeOnly: false, limit: 100 };

test('a migration comes back exactly as it was recorded', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
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
      channels: [],
    },
    reason: 'STREAM_FAILED',
  });
  await store.insert(record);
  assert.deepEqual(await store.get('m-1'), record);
});

test('recording a known id changes nothing and returns what is there', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  const first = migrationRecord('m-1');
  assert.equal((await store.insert(first)).created, true);
  const second = await store.insert(migrationRecord('m-1', { vmName: 'other' }));
  assert.deepEqual(second, { record: first, created: false });
});

test('an update replaces the record', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  const record = migrationRecord('m-1');
  await store.insert(record);
  const changed = { ...record, phase: 'copying', cancelRequested: true } as const;
  await store.update(changed);
  assert.deepEqual(await store.get('m-1'), changed);
});

test('updating a migration that is not known fails', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  await assert.rejects(store.update(migrationRecord('m-1')), { reason: 'MIGRATION_NOT_FOUND' });
  assert.equal(journal.database.failure, undefined);
});

test('a list has the newest first and can leave out what has ended', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  for (const [id, startedAtMs] of [
    ['a', 1],
    ['b', 3],
    ['c', 2],
  ] as const) {
    await store.insert(migrationRecord(id, { startedAtMs }));
  }
  await store.update(migrationRecord('b', { startedAtMs: 3, phase: 'failed', endedAtMs: 9 }));
  const ids = async (filter: { activeOnly: boolean; limit: number }) =>
    (await store.list(filter)).map(({ id }) => id);
  assert.deepEqual(await ids(EVERYTHING), ['b', 'c', 'a']);
  assert.deepEqual(await ids({ activeOnly: true, limit: 100 }), ['c', 'a']);
  assert.deepEqual(await ids({ activeOnly: false, limit: 1 }), ['b']);
});

test('a migration that ends makes room by the oldest that have, never by an active one', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database, 2);
  await store.insert(migrationRecord('active', { startedAtMs: 0 }));
  for (let at = 1; at <= 5; at++) {
    const record = migrationRecord(`m-${at}`, { startedAtMs: at });
    await store.insert(record);
    await store.update({ ...record, phase: 'completed', endedAtMs: at });
  }
  assert.deepEqual(
    (await store.list(EVERYTHING)).map(({ id }) => id),
    ['m-5', 'm-4', 'active'],
  );
});

test('a list leaves out the definitions, which may be large', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database);
  const record = migrationRecord('m-1', { definition: tinyVm(), blueprint: '<domain/>' });
  const { definition, blueprint, ...summary } = record;
  await store.insert(record);
  assert.deepEqual(await store.list(EVERYTHING), [summary]);
  const got = await store.get('m-1');
  assert.deepEqual([got.definition, got.blueprint], [definition, blueprint]);
});

test('a migration that a VM waits for the end of is not forgotten before that', async () => {
  using journal = new MemoryJournal();
  const store = new MigrationStore(journal.database, 1);
  const owners = new OwnershipStore(journal.database);
  const { vmUid: uid, vmNamespace: namespace, vmName: name } = migrationRecord('m-1');
  const owned = { uid, namespace, name, ownershipEpoch: 2, left: undefined, isDeleted: false };
  await owners.put({ ...owned, unconfirmed: { fromNode: 'a', migrationId: 'm-1' } });
  const end = async (at: number): Promise<readonly string[]> => {
    const record = migrationRecord(`m-${at}`, { startedAtMs: at });
    await store.insert(record);
    return await store.update({ ...record, phase: 'completed', endedAtMs: at });
  };
  assert.deepEqual(await end(1), []);
  assert.deepEqual(await end(2), []);
  assert.deepEqual(await end(3), ['m-2']);
  await owners.put(owned);
  assert.deepEqual(new Set(await end(4)), new Set(['m-1', 'm-3']));
});
