import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalHealth } from '../../../../src/agent/journal/journal.ts';
import { StorageHealth } from '../../../../src/agent/node/storage-health.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { StorageProbe, StorageState } from '../../../../src/drivers/storage-probe.ts';

const WRITABLE: StorageState = { kind: 'writable', availableBytes: 5 };
const WELL: JournalHealth = { reason: 'Healthy', message: '' };

/** A disk and a journal on it that do as the test says. */
class Disk implements StorageProbe {
  readonly directory = '/state';
  /** What a look tells, and what comes of a write where that finds room. */
  room: StorageState = WRITABLE;
  written: StorageState = WRITABLE;
  writes = 0;
  isStuck = false;
  nowMs = 0;
  journalHealth = WELL;
  failures = 0;
  lastFailure: AgentError | undefined;
  readonly storage = new StorageHealth({
    probe: this,
    journal: this,
    log: createLogger('silent'),
    now: () => this.nowMs,
  });

  look(): Promise<StorageState> {
    return this.#answer(this.room);
  }

  health(): JournalHealth {
    return this.journalHealth;
  }

  /** Of the disk and of the journal: either tells the other's caller nothing new. */
  async tryWrite(): Promise<never> {
    this.writes += 1;
    if (this.room.kind === 'writable' && this.written.kind === 'writable')
      this.journalHealth = WELL;
    return (await this.#answer(this.room.kind === 'writable' ? this.written : this.room)) as never;
  }

  async reason(): Promise<string> {
    await this.storage.look();
    return this.storage.report().reason;
  }

  async #answer(state: StorageState): Promise<StorageState> {
    return this.isStuck ? await new Promise<never>(() => {}) : state;
  }
}

test('a failed write shows although a later one worked, until the disk takes one of ours', async () => {
  const disk = new Disk();
  assert.equal(await disk.reason(), 'Healthy');
  disk.failures += 1;
  disk.written = { kind: 'full', code: 'ENOSPC' };
  assert.equal(await disk.reason(), 'Full');
  assert.match(disk.storage.report().message, /^The disk of \/state is full: .*df -h \/state/);
  assert.doesNotMatch(disk.storage.report().message, /\bdu\b|\brm\b/);
  assert.equal(disk.storage.availableBytes(), 0);
  assert.equal(await disk.reason(), 'Full');
  disk.written = WRITABLE;
  assert.equal(await disk.reason(), 'Healthy');
  assert.equal(disk.storage.availableBytes(), 5);
});

test('a journal that could not be written is tried again once the disk takes something', async () => {
  const disk = new Disk();
  disk.journalHealth = { reason: 'WriteFailed', message: 'It is full' };
  disk.failures += 1;
  disk.written = { kind: 'failing', code: 'EIO' };
  assert.equal(await disk.reason(), 'WriteFailed');
  assert.match(disk.storage.report().message, /Writing to \/state fails \(EIO\)/);
  disk.written = WRITABLE;
  assert.equal(await disk.reason(), 'Healthy');
});

test('a write that failed counts until the disk was tried, whatever is written after it', async () => {
  const disk = new Disk();
  disk.failures += 1;
  disk.lastFailure = new AgentError('STORAGE_FULL', 'It is full');
  assert.deepEqual(disk.storage.report(), { reason: 'WriteFailed', message: 'It is full' });
  assert.equal(await disk.reason(), 'Healthy');
});

test('a disk without room is told without a write, one that was made read-only within a minute', async () => {
  const disk = new Disk();
  await disk.reason();
  const { writes } = disk;
  assert.equal(await disk.reason(), 'Healthy');
  assert.equal(disk.writes, writes);
  disk.written = { kind: 'read-only', code: 'EROFS' };
  assert.equal(await disk.reason(), 'Healthy');
  disk.nowMs += 60_000;
  assert.equal(await disk.reason(), 'ReadOnly');
  assert.match(disk.storage.report().message, /read-only.*mount -o remount,rw/);
  disk.written = WRITABLE;
  disk.room = { kind: 'full', code: 'ENOSPC' };
  assert.equal(await disk.reason(), 'Full');
});

test('a disk that does not answer is told after ten seconds', () => {
  const disk = new Disk();
  disk.isStuck = true;
  void disk.storage.look();
  disk.nowMs += 5_000;
  assert.equal(disk.storage.report().reason, 'Healthy');
  disk.nowMs += 6_000;
  assert.equal(disk.storage.report().reason, 'NotAnswering');
});

test('a journal that was begun anew stays told', async () => {
  const disk = new Disk();
  disk.journalHealth = { reason: 'JournalReplaced', message: 'It was damaged' };
  disk.written = WRITABLE;
  await disk.storage.look();
  disk.journalHealth = { reason: 'JournalReplaced', message: 'It was damaged' };
  assert.deepEqual(disk.storage.report(), disk.journalHealth);
});

test('a disk that does not answer does not keep the agent from ending', async () => {
  const disk = new Disk();
  disk.isStuck = true;
  const stop = new AbortController();
  const running = disk.storage.run(stop.signal);
  const why = new Error('enough');
  stop.abort(why);
  await assert.rejects(running, (error) => error === why);
});
