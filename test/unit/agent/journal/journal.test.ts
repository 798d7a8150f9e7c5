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
import { Journal } from '../../../../src/agent/journal/journal.ts';
import { SCHEMA } from '../../../../src/agent/journal/schema.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { migrationRecord } from './migration-record.ts';

const logger = createLogger('silent');
const temporary = () => mkdtempDisposableSync(path.join(tmpdir(), 'journal-'));

test('each start gets a higher epoch and learns the boot id of the one before', () => {
  using directory = temporary();
  const starts = ['boot-a', 'boot-a', 'boot-b'].map((bootId) => {
    using journal = Journal.open(directory.path, { logger, now: () => 5_000_000 });
    return journal.epochs.nextEpoch(bootId);
  });
  assert.deepEqual(starts, [
    { epoch: 5_000, previousBootId: undefined },
    { epoch: 5_001, previousBootId: 'boot-a' },
    { epoch: 5_002, previousBootId: 'boot-a' },
  ]);
});

test('its files are for root only', () => {
  using directory = temporary();
  const state = path.join(directory.path, 'state');
  using journal = Journal.open(state, { logger });
  journal.epochs.nextEpoch('boot');
  const modes = ['', ...readdirSync(state)].map((name) => statSync(path.join(state, name)).mode);
  assert.deepEqual(new Set(modes.map((mode) => mode & 0o077)), new Set([0]));
});

test('a second agent on the same directory is refused, until the first is gone', () => {
  using directory = temporary();
  {
    using first = Journal.open(directory.path, { logger });
    assert.throws(() => Journal.open(directory.path, { logger }), {
      reason: 'JOURNAL_FAILURE',
      message: /Another agent uses this state directory/,
    });
    assert.equal(first.health().reason, 'Healthy');
  }
  using second = Journal.open(directory.path, { logger });
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
  test(`a journal that is ${kind} is moved aside and begun anew`, () => {
    using directory = temporary();
    const file = path.join(directory.path, 'journal.db');
    let epoch: number;
    {
      using journal = Journal.open(directory.path, { logger });
      journal.migrations.insert(migrationRecord('m-1'));
      epoch = journal.epochs.nextEpoch('boot').epoch;
    }
    damage(file);
    using journal = Journal.open(directory.path, { logger, now: () => Date.now() + 2_000 });
    assert.equal(journal.health().reason, 'JournalReplaced');
    assert.match(journal.health().message, /journal\.db\.corrupt-/);
    assert.equal(journal.migrations.find('m-1'), undefined);
    assert.ok(journal.epochs.nextEpoch('boot').epoch > epoch);
    assert.equal(
      readdirSync(directory.path).filter((name) => name.includes('.corrupt-')).length,
      1,
    );
  });
}

test('a journal of a newer agent is refused and left alone', () => {
  using directory = temporary();
  const file = path.join(directory.path, 'journal.db');
  {
    using newer = new DatabaseSync(file);
    newer.exec('PRAGMA user_version = 99');
  }
  assert.throws(() => Journal.open(directory.path, { logger }), {
    reason: 'JOURNAL_FAILURE',
    message: /has version 99, but this agent knows versions up to/,
  });
  using newer = new DatabaseSync(file);
  assert.equal(newer.prepare('PRAGMA user_version').get()?.['user_version'], 99);
});

test('a journal of version 1 is brought to the newest schema with its content', () => {
  using directory = temporary();
  {
    using old = new DatabaseSync(path.join(directory.path, 'journal.db'));
    old.exec(readFileSync('test/fixtures/journal/version-1.sql', 'utf8'));
  }
  const schema = [...SCHEMA, 'ALTER TABLE migration ADD COLUMN note TEXT'];
  using journal = Journal.open(directory.path, { logger, schema });
  assert.deepEqual(
    journal.migrations.get('m-1'),
    migrationRecord('m-1', { phase: 'copying', phases: [{ phase: 'copying', startedAtMs: 1 }] }),
  );
  assert.equal(journal.vms.find('u-1')?.left?.toNode, 'node-b');
  assert.equal(journal.operations.interruptAll().length, 1);
  assert.deepEqual(journal.epochs.nextEpoch('boot'), { epoch: 43, previousBootId: 'boot-a' });
});

test('a schema step that fails leaves the version before it', () => {
  using directory = temporary();
  const schema = [...SCHEMA, 'CREATE TABLE extra (a TEXT); CREATE TABLE migration (b TEXT)'];
  assert.throws(() => Journal.open(directory.path, { logger, schema }), {
    reason: 'JOURNAL_FAILURE',
  });
  using journal = Journal.open(directory.path, {
    logger,
    schema: [...SCHEMA, 'CREATE TABLE extra (a TEXT)'],
  });
  assert.equal(journal.health().reason, 'Healthy');
});
