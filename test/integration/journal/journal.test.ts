import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempDisposableSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { migrationRecord } from '../../unit/agent/journal/migration-record.ts';

const logger = createLogger('silent');
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
    using journal = Journal.open(directory.path, { logger });
    assert.equal(journal.health().reason, 'Healthy');
    for (const line of lines) {
      const [word, id = ''] = line.split(' ');
      if (word !== 'done') continue;
      assert.deepEqual(
        journal.migrations.get(id),
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
  assert.throws(() => Journal.open(directory.path, { logger }), {
    reason: 'JOURNAL_FAILURE',
    message: /Another agent/,
  });
  await writer.kill();
  using journal = Journal.open(directory.path, { logger });
  assert.equal(journal.health().reason, 'Healthy');
});

test('a full disk fails with STORAGE_FULL, loses nothing and is over once there is room', {
  skip: process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root',
}, () => {
  using directory = temporary();
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', directory.path]);
  try {
    const ballast = path.join(directory.path, 'ballast');
    writeFileSync(ballast, Buffer.alloc(400_000));
    using journal = Journal.open(directory.path, { logger });
    let written = 0;
    const fill = () => {
      for (; written < 10_000; written++) {
        journal.migrations.insert(migrationRecord(`m-${written}`, { message: 'x'.repeat(2_000) }));
      }
    };
    assert.throws(fill, { reason: 'STORAGE_FULL' });
    assert.equal(journal.health().reason, 'WriteFailed');
    assert.equal(journal.migrations.list({ activeOnly: true, limit: 10_000 }).length, written);
    rmSync(ballast);
    journal.migrations.insert(migrationRecord('after'));
    assert.equal(journal.health().reason, 'Healthy');
    assert.equal(journal.migrations.find('m-0')?.id, 'm-0');
  } finally {
    execFileSync('umount', [directory.path]);
  }
});
