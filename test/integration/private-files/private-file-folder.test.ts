import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempDisposable, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { PrivateFileFolder } from '../../../src/drivers/private-files/private-file-folder.ts';

const never = new AbortController().signal;

test('a full disk keeps what is there, leaves nothing of what does not fit, and is over once there is room', {
  skip: process.getuid?.() === 0 ? false : 'mounting a small tmpfs needs root',
}, async () => {
  await using state = await mkdtempDisposable(path.join(tmpdir(), 'private-files-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', state.path]);
  try {
    const ballast = path.join(state.path, 'ballast');
    await writeFile(ballast, Buffer.alloc(700_000));
    const files = new PrivateFileFolder(state.path);
    const vm = randomUUID();
    const small = randomBytes(1_000);
    const large = randomBytes(500_000);
    const digest = await files.put(vm, 'user-data', small, never);
    await assert.rejects(files.put(vm, 'user-data', large, never), {
      reason: 'STORAGE_FULL',
      message: /is full; make room there$/,
    });
    assert.deepEqual(await readdir(path.join(state.path, 'private', vm)), [`user-data-${digest}`]);
    assert.ok(small.equals(await files.read(vm, 'user-data', digest, never)));
    await rm(ballast);
    const other = await files.put(vm, 'user-data', large, never);
    assert.ok(large.equals(await files.read(vm, 'user-data', other, never)));
  } finally {
    execFileSync('umount', [state.path]);
  }
});
