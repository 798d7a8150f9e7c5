import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { LocalImageStore } from '../../../src/drivers/images/local-image-store.ts';
import { ProcessImageStore } from '../../../src/drivers/images/process-image-store.ts';
import { HangingMount } from '../../fixtures/hanging-mount.ts';
import { until } from '../../fixtures/until.ts';
import { processesFor, StoreFolder } from './image-store-folder.ts';

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;

void describe('what comes to nothing leaves nothing', () => {
  void test('on a full file system', { skip: isRoot ? false : 'needs root' }, async () => {
    await using folder = await StoreFolder.make();
    const file = folder.outside('a.vmdk');
    const raw = folder.outside('a.raw');
    await writeFile(raw, Buffer.alloc(2 ** 25, 7));
    const options = ['-O', 'vmdk', '-o', 'subformat=streamOptimized'];
    folder.qemuImg('convert', '-f', 'raw', ...options, raw, file);
    await mkdir(folder.disks);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8M', 'tmpfs', folder.disks]);
    assert.equal(mounted.status, 0);
    try {
      const store = new LocalImageStore({ folder: folder.disks });
      await assert.rejects(folder.admit(store, file), {
        reason: 'STORAGE_FULL',
        message: /^Cannot convert the image .*: its file system is full; make room there$/,
      });
      assert.deepEqual(await folder.files(), []);
    } finally {
      spawnSync('umount', [folder.disks]);
    }
  });

  void test('given up or killed while it is converted', async () => {
    await using folder = await StoreFolder.make();
    using processes = processesFor(folder);
    const store = new ProcessImageStore(processes, folder.disks);
    const file = folder.outside('a.vdi');
    const raw = folder.outside('a.raw');
    execFileSync('dd', ['if=/dev/urandom', `of=${raw}`, 'bs=1M', 'count=192'], { stdio: 'pipe' });
    folder.qemuImg('convert', '-f', 'raw', '-O', 'vdi', raw, file);
    const isConverting = async () =>
      (await folder.files()).some((each) => each.endsWith('.converted'));
    const giveUp = new AbortController();
    const reason = new Error('enough');
    const given = assert.rejects(
      store.admit(await folder.request(store, file), giveUp.signal),
      reason,
    );
    await until('it is converted', isConverting);
    // Nobody waits for that.
    assert.deepEqual(await store.list(never), []);
    giveUp.abort(reason);
    await given;
    assert.deepEqual(await folder.files(), []);
    const killed = assert.rejects(folder.admit(store, file), /has ended/);
    await until('it is converted again', isConverting);
    for (const pid of imageProcesses()) process.kill(pid, 'SIGKILL');
    await killed;
    assert.deepEqual(await folder.files(), []);
    await until('nothing goes on', () => convertersOf(folder) === 0);
    // Of an agent that was killed along with it.
    const incoming = await store.prepare(never);
    const wanted = path.join(incoming, 'wanted.part');
    for (const name of ['wanted.part', 'a.part', 'a.part.converted', `${'0'.repeat(64)}.x`]) {
      await writeFile(path.join(incoming, name), '');
    }
    await writeFile(path.join(folder.disks, 'base', `${'0'.repeat(64)}.json.7.new`), '');
    await store.tidy([wanted], never);
    assert.deepEqual(await folder.files(), [wanted]);
  });
});

void test('storage that has gone away is not waited for, even by what takes long', {
  skip: isRoot && existsSync('/dev/fuse') ? false : 'needs root and /dev/fuse',
}, async () => {
  await using folder = await StoreFolder.make();
  using processes = processesFor(folder, 1_000);
  await using gone = await HangingMount.at(folder.outside('gone'));
  const store = new ProcessImageStore(processes, gone.folder);
  await assert.rejects(store.prepare(never), { reason: 'IMAGE_UNREACHABLE' });
  const begun = performance.now();
  await assert.rejects(store.verify('0'.repeat(64), never), { reason: 'IMAGE_UNREACHABLE' });
  assert.ok(performance.now() - begun < 10_000);
});

void test('where bubblewrap is missing, an image is refused by saying so', async () => {
  await using folder = await StoreFolder.make();
  const store = new LocalImageStore({ folder: folder.disks, bubblewrap: '/nowhere/bwrap' });
  await assert.rejects(folder.admit(store, folder.create('a.qcow2', 'qcow2')), {
    reason: 'FEATURE_NOT_SUPPORTED',
    message: /failed to execute \/nowhere\/bwrap: No such file or directory; install bubblewrap/,
  });
  assert.deepEqual(await folder.files(), []);
});

/** Those of this process. */
function imageProcesses(): readonly number[] {
  const found = spawnSync('pgrep', ['-P', String(process.pid), '-f', 'image-process']);
  return found.stdout.toString().split('\n').filter(Boolean).map(Number);
}

function convertersOf(folder: StoreFolder): number {
  const found = spawnSync('pgrep', ['-f', `bwrap.*${folder.disks}`]);
  return found.stdout.toString().split('\n').filter(Boolean).length;
}
