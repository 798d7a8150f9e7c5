import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { nextAgentStart } from '../../../src/agent/journal/agent-epoch.ts';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { StorageHealth } from '../../../src/agent/node/storage-health.ts';
import { hasReason } from '../../../src/core/errors.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { FolderProbe } from '../../../src/drivers/linux/folder-probe.ts';

const log = createLogger('silent');
const skip = process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root';

test('a disk that is full or read-only is told from the next look on, and is well again by itself', {
  skip,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const { path: state } = stack.use(mkdtempDisposableSync(path.join(tmpdir(), 'storage-')));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', state]);
  stack.defer(() => void execFileSync('umount', [state]));
  const journal = stack.use(await Journal.open(state, { schema: JOURNAL_SCHEMA, logger: log }));
  const storage = new StorageHealth({ probe: new FolderProbe(state), journal, log });
  const look = async () => {
    await storage.look();
    return storage.report().reason;
  };
  const write = () => nextAgentStart(journal.database, 'boot', Date.now());
  await write();
  assert.equal(await look(), 'Healthy');
  assert.ok((storage.availableBytes() ?? 0) > 1024 ** 2);

  const ballast = path.join(state, 'ballast');
  assert.throws(() => writeFileSync(ballast, Buffer.alloc(8 * 1024 ** 2)), /ENOSPC/);
  assert.equal(await look(), 'Full');
  assert.equal(storage.availableBytes(), 0);
  // Whether it is the write that fails, or the disk that is looked at, the same is told.
  await Promise.allSettled(Array.from({ length: 300 }, write));
  assert.equal(await look(), 'Full');
  rmSync(ballast);
  assert.equal(await look(), 'Healthy');
  await write();

  const { database } = journal;
  await assert.rejects(database.run('INSERT INTO nowhere VALUES (1)'), (error) =>
    hasReason(error, 'JOURNAL_FAILURE'),
  );
  assert.equal(storage.report().reason, 'WriteFailed');
  assert.equal(await look(), 'Healthy');
  assert.deepEqual(
    readdirSync(state).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a folder that may not be written to, or is not there, is told by its cause', {
  skip,
}, async () => {
  await using stack = new AsyncDisposableStack();
  const { path: state } = stack.use(mkdtempDisposableSync(path.join(tmpdir(), 'storage-')));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,ro', 'tmpfs', state]);
  stack.defer(() => void execFileSync('umount', [state]));
  assert.deepEqual(await new FolderProbe(state).tryWrite(), { kind: 'read-only', code: 'EROFS' });
  const gone = await new FolderProbe(path.join(state, 'gone')).look();
  assert.deepEqual(gone, { kind: 'failing', code: 'ENOENT' });
});
