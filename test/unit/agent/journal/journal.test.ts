import assert from 'node:assert/strict';
import {
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { nextAgentStart } from '../../../../src/agent/journal/agent-epoch.ts';
import { Journal } from '../../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../../src/agent/journal-schema.ts';
import { MigrationStore } from '../../../../src/agent/migration/migration-store.ts';
import { NodeSpecStore } from '../../../../src/agent/node/node-spec-store.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { IdentificationStore } from '../../../../src/agent/vms/identification-store.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { migrationRecord } from '../migration/migration-record.ts';
import { operationRecord } from '../operations/operation-record.ts';

const options = { logger: createLogger('silent'), schema: JOURNAL_SCHEMA };
const temporary = () => mkdtempDisposableSync(path.join(tmpdir(), 'journal-'));

const EVERY_OPERATION = {
  vmUid: undefined,
  vmName: undefined,
  namespace: undefined,
  activeOnly: false,
};
const FIRST_PAGE = { after: undefined, limit: 10 };

test('each start gets a higher epoch and learns the boot id of the one before', async () => {
  using directory = temporary();
  const starts = [];
  for (const bootId of ['boot-a', 'boot-a', 'boot-b']) {
    await using journal = await Journal.open(directory.path, options);
    starts.push(await nextAgentStart(journal.database, bootId, 5_000_000));
  }
  assert.deepEqual(starts, [
    { epoch: 5_000, previousBootId: undefined },
    { epoch: 5_001, previousBootId: 'boot-a' },
    { epoch: 5_002, previousBootId: 'boot-a' },
  ]);
});

test('an epoch that a lost journal may have given out is not given out again', async () => {
  using directory = temporary();
  await using journal = await Journal.open(directory.path, options);
  await nextAgentStart(journal.database, 'boot', 5_000_000);
  // The agent has started 70 times since this journal was backed up, 80 seconds ago.
  const { epoch } = await nextAgentStart(journal.database, 'boot', 5_080_000);
  assert.ok(epoch > 5_070, `${epoch}`);
  // A clock that is put back takes no epoch back.
  assert.equal((await nextAgentStart(journal.database, 'boot', 1)).epoch, epoch + 1);
});

test('its files are for root only', async () => {
  using directory = temporary();
  const state = path.join(directory.path, 'state');
  await using journal = await Journal.open(state, options);
  await nextAgentStart(journal.database, 'boot', Date.now());
  const modes = ['', ...readdirSync(state)].map((name) => statSync(path.join(state, name)).mode);
  assert.deepEqual(new Set(modes.map((mode) => mode & 0o077)), new Set([0]));
});

test('a second agent on the same directory is refused, until the first is gone', async () => {
  using directory = temporary();
  {
    await using first = await Journal.open(directory.path, options);
    await assert.rejects(Journal.open(directory.path, options), {
      reason: 'JOURNAL_FAILURE',
      message: /Another agent uses this state directory/,
    });
    assert.equal(first.health().reason, 'Healthy');
  }
  await using second = await Journal.open(directory.path, options);
  assert.equal(second.health().reason, 'Healthy');
});

for (const [kind, damage] of [
  ['no database at all', (file: string) => writeFileSync(file, 'garbage'.repeat(1_000))],
  ['cut off', (file: string) => truncateSync(file, 6_000)],
  [
    'scribbled over',
    (file: string) => {
      const bytes = readFileSync(file);
      bytes.fill(0xa5, 4_096, 20_000);
      writeFileSync(file, bytes);
    },
  ],
] as const) {
  test(`a journal that is ${kind} is moved aside and begun anew`, async () => {
    using directory = temporary();
    const file = path.join(directory.path, 'journal.db');
    let epoch: number;
    {
      await using journal = await Journal.open(directory.path, options);
      await new MigrationStore(journal.database).insert(migrationRecord('m-1'));
      ({ epoch } = await nextAgentStart(journal.database, 'boot', Date.now()));
    }
    damage(file);
    await using journal = await Journal.open(directory.path, options);
    assert.equal(journal.health().reason, 'JournalReplaced');
    assert.match(journal.health().message, /journal\.db\.corrupt-/);
    assert.equal(await new MigrationStore(journal.database).find('m-1'), undefined);
    const next = await nextAgentStart(journal.database, 'boot', Date.now() + 2_000);
    assert.ok(next.epoch > epoch);
    assert.equal(
      readdirSync(directory.path).filter((name) => name.includes('.corrupt-')).length,
      1,
    );
  });
}

test('a journal of a newer agent is refused and left alone', async () => {
  using directory = temporary();
  const file = path.join(directory.path, 'journal.db');
  {
    using newer = new DatabaseSync(file);
    newer.exec('PRAGMA user_version = 99');
  }
  await assert.rejects(Journal.open(directory.path, options), {
    reason: 'JOURNAL_FAILURE',
    message:
      /newer agent \(version 99; this one knows versions up to \d+\): install that agent again/,
  });
  using newer = new DatabaseSync(file);
  assert.equal(newer.prepare('PRAGMA user_version').get()?.['user_version'], 99);
});

test('a journal of version 1 is brought to the newest schema with its content', async () => {
  using directory = temporary();
  {
    using old = new DatabaseSync(path.join(directory.path, 'journal.db'));
    old.exec(readFileSync('test/compatibility/version-1/journal.sql', 'utf8'));
    old.exec(`INSERT INTO operation VALUES
      ('o-3', 'u-2', 'delete', 41000, 41500, 'succeeded', ''),
      ('o-2', 'u-1', 'shutdown', 43000, 43500, 'failed', 'VM_BUSY'),
      ('o-4', 'u-1', 'migrate', 44000, 44500, 'succeeded', '')`);
  }
  const schema = [...JOURNAL_SCHEMA, 'ALTER TABLE migration ADD COLUMN note TEXT'];
  await using journal = await Journal.open(directory.path, { ...options, schema });
  const { database } = journal;
  assert.deepEqual(
    await new MigrationStore(database).get('m-1'),
    migrationRecord('m-1', { phase: 'copying', phases: [{ phase: 'copying', startedAtMs: 1 }] }),
  );
  const [owned] = await new OwnershipStore(database).list();
  assert.deepEqual([owned?.left?.toNode, owned?.isDeleted], ['node-b', false]);
  const operations = new OperationStore(database);
  const { records } = await operations.list(EVERY_OPERATION, FIRST_PAGE);
  // Nobody will go on with what that version was doing. Its migrations are in another table.
  assert.deepEqual(
    records.map(({ id, kind, vm, state, endedAtMs }) => [id, kind, vm.uid, state, endedAtMs]),
    [
      ['o-2', 'shutdown', 'u-1', 'failed', 43_500],
      ['o-3', 'delete', 'u-2', 'succeeded', 41_500],
      ['o-1', 'start', 'u-1', 'failed', 42_000],
    ],
  );
  assert.deepEqual(await operations.listOpen(), []);
  // An id of then is still the id of what was asked for then.
  assert.equal((await operations.insert(operationRecord('o-2')))?.kind, 'shutdown');
  assert.deepEqual(await new NodeSpecStore(database).find(), {
    spec: { cordon: true, cordonReason: 'new disks' },
    generation: 3,
  });
  const [reservation] = await new ReservationStore(database).list();
  assert.deepEqual([reservation?.id, reservation?.vm.name], ['r-1', 'db']);
  assert.deepEqual(await nextAgentStart(database, 'boot', 1), {
    epoch: 43,
    previousBootId: 'boot-a',
  });
});

test('only a journal that is begun anew does not know yet whose the VMs are', async () => {
  using directory = temporary();
  const isComplete = async () => {
    await using journal = await Journal.open(directory.path, options);
    const record = await new IdentificationStore(journal.database).get();
    await nextAgentStart(journal.database, 'boot', Date.now());
    return record.isComplete;
  };
  const file = path.join(directory.path, 'journal.db');
  {
    using old = new DatabaseSync(file);
    old.exec(readFileSync('test/compatibility/version-1/journal.sql', 'utf8'));
  }
  assert.equal(await isComplete(), true);
  writeFileSync(file, 'garbage'.repeat(1_000));
  assert.equal(await isComplete(), false);
  // Another start does not complete it.
  assert.equal(await isComplete(), false);
  {
    await using journal = await Journal.open(directory.path, options);
    const record = { isComplete: true, acceptedBy: 'unix:root' };
    await new IdentificationStore(journal.database).put(record);
    assert.deepEqual(await new IdentificationStore(journal.database).get(), record);
  }
  assert.equal(await isComplete(), true);
});

test('a schema step that fails leaves the version before it', async () => {
  using directory = temporary();
  const schema = [
    ...JOURNAL_SCHEMA,
    'CREATE TABLE extra (a TEXT); CREATE TABLE migration (b TEXT)',
  ];
  await assert.rejects(Journal.open(directory.path, { ...options, schema }), {
    reason: 'JOURNAL_FAILURE',
  });
  await using journal = await Journal.open(directory.path, {
    ...options,
    schema: [...JOURNAL_SCHEMA, 'CREATE TABLE extra (a TEXT)'],
  });
  assert.equal(journal.health().reason, 'Healthy');
});

test('calls are carried out in their order, and all that were made before it is closed', async () => {
  using directory = temporary();
  const ids = Array.from({ length: 20 }, (_, index) => `o-${index}`);
  let begun: Promise<unknown>;
  {
    await using journal = await Journal.open(directory.path, options);
    const operations = new OperationStore(journal.database);
    const records = ids.map((id, requestedAtMs) => operationRecord(id, { requestedAtMs }));
    begun = Promise.all(records.map((record) => operations.insert(record)));
  }
  await begun;
  await using journal = await Journal.open(directory.path, options);
  const open = await new OperationStore(journal.database).listOpen();
  assert.deepEqual(
    open.map(({ id }) => id),
    ids,
  );
});

function insertStart(epoch: number) {
  return {
    sql: 'INSERT INTO agent_start (epoch, boot_id, started_at_ms) VALUES ($epoch, $bootId, 0)',
    parameters: { epoch, bootId: 'boot' },
  };
}

test('a transaction with a statement that fails changes nothing', async () => {
  using directory = temporary();
  await using journal = await Journal.open(directory.path, options);
  const { database } = journal;
  await assert.rejects(database.transaction([insertStart(1), insertStart(1)]), {
    reason: 'JOURNAL_FAILURE',
  });
  assert.deepEqual(await database.all('SELECT * FROM agent_start'), []);
  assert.equal(journal.health().reason, 'WriteFailed');
  await database.transaction([insertStart(3), insertStart(4)]);
  assert.equal((await database.all('SELECT * FROM agent_start')).length, 2);
  assert.equal(journal.health().reason, 'Healthy');
});

test('a journal that is closed refuses what comes later', async () => {
  using directory = temporary();
  const journal = await Journal.open(directory.path, options);
  await journal[Symbol.asyncDispose]();
  await journal[Symbol.asyncDispose]();
  await assert.rejects(journal.database.get('SELECT 1'), { reason: 'SHUTTING_DOWN' });
  assert.ok(!journal.lost.aborted);
});

test('a journal whose thread runs out of memory is lost, and so are the calls that wait', async () => {
  using directory = temporary();
  await using journal = await Journal.open(directory.path, options);
  const huge = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200)
    SELECT i, hex(zeroblob(500000)) FROM n`;
  await assert.rejects(journal.database.all(huge), { reason: 'JOURNAL_FAILURE' });
  assert.ok(journal.lost.aborted);
  await assert.rejects(journal.database.get('SELECT 1'), { reason: 'JOURNAL_FAILURE' });
});
