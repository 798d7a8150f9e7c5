import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempDisposableSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { launchJournal } from '../../../src/agent/journal/launch-journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { MigrationStore } from '../../../src/agent/migration/migration-store.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { migrationRecord } from '../../unit/agent/migration/migration-record.ts';

const options = { logger: createLogger('silent'), schema: JOURNAL_SCHEMA };
const temporary = () => mkdtempDisposableSync(path.join(tmpdir(), 'journal-'));

function startWriter(directory: string): OwnedProcess {
  const program = path.join(import.meta.dirname, 'writer.ts');
  return new OwnedProcess(
    spawn(process.execPath, [program, directory], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
}

/** Starts the writer, kills it after so many acknowledged records, and returns the lines that it had sent. */
async function writeAndKill(directory: string, records: number): Promise<readonly string[]> {
  await using writer = startWriter(directory);
  const lines: string[] = [];
  while (lines.length < records) lines.push(await writer.nextLine());
  await writer.kill();
  // What it had said by then counts too.
  return [...lines, ...(await writer.remainingLines())];
}

test('every record that was acknowledged before a kill -9 is there afterwards', async () => {
  using directory = temporary();
  let epoch = 0;
  for (const records of [2, 40, 163]) {
    const lines = await writeAndKill(directory.path, records);
    await using journal = await Journal.open(directory.path, options);
    assert.equal(journal.health().reason, 'Healthy');
    for (const line of lines) {
      const [word, id = ''] = line.split(' ');
      if (word !== 'done') continue;
      assert.deepEqual(
        await new MigrationStore(journal.database).get(id),
        migrationRecord(id, { phase: 'copying', message: `message of ${id}` }),
      );
    }
    const started = Number(lines[0]?.split(' ')[1]);
    assert.ok(started > epoch);
    epoch = started;
  }
});

test('a second process is refused while the first lives, and a killed one leaves no lock', async () => {
  using directory = temporary();
  await using writer = startWriter(directory.path);
  await writer.nextLine();
  await assert.rejects(Journal.open(directory.path, options), {
    reason: 'JOURNAL_FAILURE',
    message: /Another agent/,
  });
  await writer.kill();
  await using journal = await Journal.open(directory.path, options);
  assert.equal(journal.health().reason, 'Healthy');
});

test('a thread that was launched before is used, unless it has ended', async () => {
  using directory = temporary();
  const launched = launchJournal();
  {
    await using journal = await Journal.open(directory.path, { ...options, launched });
    await journal.tryWrite();
    assert.notEqual(launched.threadId, -1);
  }
  assert.equal(launched.threadId, -1, 'it ends with the journal');
  await using journal = await Journal.open(directory.path, { ...options, launched });
  await journal.tryWrite();
});

test('a full disk fails with STORAGE_FULL, loses nothing and is over once there is room', {
  skip: process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root',
}, async () => {
  using directory = temporary();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', directory.path]);
  try {
    const ballast = path.join(directory.path, 'ballast');
    await using journal = await Journal.open(directory.path, options);
    writeFileSync(ballast, Buffer.alloc(4_000_000));
    const migrations = new MigrationStore(journal.database);
    let written = 0;
    const fill = async () => {
      for (; written < 10_000; written++) {
        await migrations.insert(migrationRecord(`m-${written}`, { message: 'x'.repeat(2_000) }));
      }
    };
    await assert.rejects(fill, { reason: 'STORAGE_FULL' });
    assert.equal(journal.health().reason, 'WriteFailed');
    assert.equal((await migrations.list({ activeOnly: true, limit: 10_000 })).length, written);
    // What has begun goes on and ends, however often it is recorded.
    for (let round = 0; round < 20; round += 1) {
      for (let index = 0; index < written; index += 1) {
        const message = `${round % 10}`.repeat(2_000);
        await migrations.update(migrationRecord(`m-${index}`, { message }));
      }
    }
    assert.ok(written > 20, `only ${written} were written`);
    assert.equal(journal.health().reason, 'WriteFailed');
    await assert.rejects(migrations.insert(migrationRecord('late')), { reason: 'STORAGE_FULL' });
    rmSync(ballast);
    await migrations.insert(migrationRecord('after'));
    assert.equal(journal.health().reason, 'Healthy');
    assert.equal((await migrations.find('m-0'))?.message, '9'.repeat(2_000));
    assert.equal(statSync(path.join(directory.path, 'journal.reserve')).size, 1024 ** 2);
  } finally {
    execFileSync('umount', [directory.path]);
  }
});

test('on a full disk nothing begins, also where the log would have room for it', {
  skip: process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root',
}, async () => {
  using directory = temporary();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', directory.path]);
  try {
    await using journal = await Journal.open(directory.path, options);
    const migrations = new MigrationStore(journal.database);
    await migrations.insert(migrationRecord('begun'));
    // The log grows past the size at which it is written from its start again.
    for (let round = 0; round < 600; round += 1) {
      await migrations.update(migrationRecord('begun', { message: `${round}`.repeat(1_000) }));
    }
    const ballast = path.join(directory.path, 'ballast');
    assert.throws(() => writeFileSync(ballast, Buffer.alloc(32 * 1024 ** 2)), /ENOSPC/);
    await assert.rejects(migrations.insert(migrationRecord('late')), { reason: 'STORAGE_FULL' });
    await migrations.update(migrationRecord('begun', { message: 'It has ended' }));
    rmSync(ballast);
    await migrations.insert(migrationRecord('after'));
  } finally {
    execFileSync('umount', [directory.path]);
  }
});

test('somebody who locks the journal for two seconds holds up nothing but its writes', async () => {
  using directory = temporary();
  await using journal = await Journal.open(directory.path, options);
  await using holder = new OwnedProcess(
    spawn(
      process.execPath,
      [path.join(import.meta.dirname, 'lock-holder.ts'), path.join(directory.path, 'journal.db')],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    ),
  );
  await holder.nextLine();
  const before = performance.eventLoopUtilization();
  let recorded = false;
  const migrations = new MigrationStore(journal.database);
  const recording = migrations.insert(migrationRecord('m-1')).then(() => {
    recorded = true;
  });
  // What the loop works at; waiting for the lock on it would be two seconds of work.
  await sleep(2_000);
  const { active } = performance.eventLoopUtilization(before);
  assert.ok(active < 200, `the event loop was busy for ${active.toFixed(0)} ms`);
  assert.equal(recorded, false);
  assert.equal(journal.health().reason, 'Healthy');
  holder.child.stdin?.end();
  await holder.exited;
  await recording;
  assert.equal((await migrations.get('m-1')).id, 'm-1');
});
