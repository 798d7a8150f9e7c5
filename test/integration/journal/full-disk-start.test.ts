import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
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
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { nextAgentStart } from '../../../src/agent/journal/agent-epoch.ts';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { MigrationStore } from '../../../src/agent/migration/migration-store.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';
import { until } from '../../fixtures/until.ts';
import { migrationRecord } from '../../unit/agent/migration/migration-record.ts';

const options = { logger: createLogger('silent'), schema: JOURNAL_SCHEMA };
const skip = process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root';

/** A folder with an agent's settings and its state directory on a disk of 4 MiB. */
class SmallDisk implements AsyncDisposable {
  readonly state: string;
  agent!: BareAgent;
  readonly #httpListen: string;
  #owned = new AsyncDisposableStack();

  private constructor(folder: string, httpListen: string) {
    this.state = path.join(folder, 'state');
    this.#httpListen = httpListen;
  }

  static async make(): Promise<SmallDisk> {
    await using undo = new AsyncDisposableStack();
    const { path: folder } = undo.use(mkdtempDisposableSync(path.join(tmpdir(), 'full-disk-')));
    const disk = new SmallDisk(folder, `127.0.0.1:${await freePort()}`);
    mkdirSync(disk.state);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk.state]);
    undo.defer(() => void execFileSync('umount', [disk.state]));
    disk.agent = await BareAgent.configure(folder, {
      stateDirectory: disk.state,
      httpListen: disk.#httpListen,
    });
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

  /** Lets nothing be written, or again. */
  remount(mode: 'ro' | 'rw'): void {
    execFileSync('mount', ['-o', `remount,${mode}`, this.state]);
  }

  /** What the agent says keeps it from being ready. */
  async obstacles(): Promise<string> {
    return (await fetch(`http://${this.#httpListen}/readyz`)).text();
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

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

const CANNOT_WRITE =
  /is full: what is new cannot be recorded|mounted read-only: nothing|Cannot write the journal/;

/** Starts an agent that cannot write: it serves and says so, and that it can as soon as it can again. */
async function expectDegraded(disk: SmallDisk, mend: () => void): Promise<void> {
  await using agent = await disk.agent.started();
  assert.match(await disk.obstacles(), CANNOT_WRITE);
  // A second one is kept out all the same.
  await using second = disk.agent.start();
  assert.match(
    (await second.remainingLines()).join('\n'),
    /Another agent uses this state directory/,
  );
  mend();
  await until('the journal can be written', async () => {
    return !(await disk.obstacles()).includes('journal');
  });
  agent.child.kill('SIGTERM');
  assert.deepEqual(await agent.exited, [0, null]);
}

async function expectStart(disk: SmallDisk): Promise<void> {
  await using agent = await disk.agent.started();
  agent.child.kill('SIGTERM');
  assert.deepEqual(await agent.exited, [0, null]);
}

test('an agent that never ran here starts on a full disk, says so, and records again once there is room', {
  skip,
}, async () => {
  await using disk = await SmallDisk.make();
  disk.fill();
  await expectDegraded(disk, () => disk.makeRoom());
  await expectStart(disk);
});

/** A journal as an agent that was killed has left it. */
async function leaveJournal(disk: SmallDisk): Promise<number> {
  await using journal = await Journal.open(disk.state, options);
  const { epoch } = await nextAgentStart(journal.database, 'boot', Date.now());
  const migrations = new MigrationStore(journal.database);
  // One that has ended, as the next agent goes on with what has not.
  await migrations.insert(
    migrationRecord('kept', {
      phase: 'completed',
      endedAtMs: Date.now(),
      message: 'what must not be lost',
    }),
  );
  return epoch;
}

/** All is there, the start without a disk included, and no journal was moved aside. */
async function assertKept(disk: SmallDisk, epoch: number): Promise<void> {
  assert.deepEqual(
    disk.files().filter((name) => name.includes('corrupt')),
    [],
  );
  await using journal = await Journal.open(disk.state, options);
  assert.equal(journal.health().reason, 'Healthy');
  const kept = await new MigrationStore(journal.database).find('kept');
  assert.equal(kept?.message, 'what must not be lost');
  const next = await nextAgentStart(journal.database, 'boot', Date.now());
  assert.ok(next.epoch > epoch + 1, `${next.epoch} after ${epoch}`);
}

for (const [what, breakIt, mend] of [
  ['has become full', (disk: SmallDisk) => disk.fill(), (disk: SmallDisk) => disk.makeRoom()],
  [
    'has become read-only',
    (disk: SmallDisk) => disk.remount('ro'),
    (disk: SmallDisk) => disk.remount('rw'),
  ],
] as const) {
  test(`an agent whose disk ${what} starts with what it knew, and loses nothing`, {
    skip,
  }, async () => {
    await using disk = await SmallDisk.make();
    const epoch = await leaveJournal(disk);
    breakIt(disk);
    await expectDegraded(disk, () => mend(disk));
    await assertKept(disk, epoch);
  });
}

test('on a full disk an agent that starts records how what had begun ends', { skip }, async () => {
  await using disk = await SmallDisk.make();
  {
    await using journal = await Journal.open(disk.state, options);
    await new MigrationStore(journal.database).insert(migrationRecord('begun'));
  }
  disk.fill();
  await using journal = await Journal.open(disk.state, options);
  assert.equal(journal.health().reason, 'WriteFailed');
  const migrations = new MigrationStore(journal.database);
  await migrations.update(migrationRecord('begun', { phase: 'completed', endedAtMs: Date.now() }));
  await nextAgentStart(journal.database, 'boot', Date.now());
  await assert.rejects(migrations.insert(migrationRecord('new')), { reason: 'STORAGE_FULL' });
  // That one will never begin is promised all the same: another node waits for it, maybe with a guest that is held.
  const end = { phase: 'cancelled', endedAtMs: Date.now() } as const;
  await migrations.insert(migrationRecord('never', end));
  disk.makeRoom();
  await journal.tryWrite();
  assert.equal(journal.health().reason, 'Healthy');
  assert.equal((await migrations.find('begun'))?.phase, 'completed');
});
