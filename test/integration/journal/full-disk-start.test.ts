import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  mkdtempDisposableSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { nextAgentStart } from '../../../src/agent/journal/agent-epoch.ts';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { MigrationStore } from '../../../src/agent/migration/migration-store.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';
import { migrationRecord } from '../../unit/agent/migration/migration-record.ts';

const options = { logger: createLogger('silent'), schema: JOURNAL_SCHEMA };
const skip = process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root';

/** A folder with an agent's settings and its state directory on a disk of 1 MiB. */
class SmallDisk implements AsyncDisposable {
  readonly state: string;
  agent!: BareAgent;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string) {
    this.state = path.join(folder, 'state');
  }

  static async make(): Promise<SmallDisk> {
    await using undo = new AsyncDisposableStack();
    const { path: folder } = undo.use(mkdtempDisposableSync(path.join(tmpdir(), 'full-disk-')));
    const disk = new SmallDisk(folder);
    mkdirSync(disk.state);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk.state]);
    undo.defer(() => void execFileSync('umount', [disk.state]));
    disk.agent = await BareAgent.configure(folder, { stateDirectory: disk.state });
    disk.#owned = undo.move();
    return disk;
  }

  /** Leaves no room at all. */
  fill(): void {
    const file = openSync(this.#ballast, 'w');
    try {
      for (;;) writeSync(file, Buffer.alloc(4096));
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
    } finally {
      closeSync(file);
    }
    assert.equal(statfsSync(this.state).bfree, 0);
  }

  makeRoom(): void {
    rmSync(this.#ballast);
  }

  /** What is there beside the ballast. */
  files(): readonly string[] {
    return readdirSync(this.state).filter((name) => name !== path.basename(this.#ballast));
  }

  get #ballast(): string {
    return path.join(this.state, 'ballast');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** Starts an agent that cannot: it says why and ends. */
async function expectRefusal(disk: SmallDisk): Promise<void> {
  await using agent = disk.agent.start();
  const said = await agent.remainingLines();
  assert.deepEqual(await agent.exited, [1, null]);
  const last = JSON.parse(said.at(-1) ?? '{}') as { msg?: string; err?: { reason?: string } };
  assert.equal(last.msg, 'Agent cannot go on', said.join('\n'));
  assert.equal(last.err?.reason, 'STORAGE_FULL', said.join('\n'));
}

async function expectStart(disk: SmallDisk): Promise<void> {
  await using agent = await disk.agent.started();
  agent.child.kill('SIGTERM');
  assert.deepEqual(await agent.exited, [0, null]);
}

test('an agent that never ran here does not start on a full disk, and starts once there is room', {
  skip,
}, async () => {
  await using disk = await SmallDisk.make();
  disk.fill();
  await expectRefusal(disk);
  await expectRefusal(disk);
  disk.makeRoom();
  await expectStart(disk);
});

test('an agent whose disk has become full does not start, and loses nothing by trying', {
  skip,
}, async () => {
  await using disk = await SmallDisk.make();
  {
    await using journal = await Journal.open(disk.state, options);
    await nextAgentStart(journal.database, 'boot', Date.now());
    const migrations = new MigrationStore(journal.database);
    await migrations.insert(migrationRecord('kept', { message: 'what must not be lost' }));
  }
  const before = disk.files().filter((name) => name.startsWith('journal.db')).length;
  disk.fill();
  await expectRefusal(disk);
  await expectRefusal(disk);
  // A full disk is no damage, for which the journal would be moved aside.
  assert.deepEqual(
    disk.files().filter((name) => name.includes('corrupt')),
    [],
  );
  assert.ok(before > 0);
  disk.makeRoom();
  {
    await using journal = await Journal.open(disk.state, options);
    assert.equal(journal.health().reason, 'Healthy');
    const kept = await new MigrationStore(journal.database).find('kept');
    assert.equal(kept?.message, 'what must not be lost');
  }
  await expectStart(disk);
});
