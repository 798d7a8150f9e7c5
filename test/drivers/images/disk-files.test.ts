import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { DiskImage } from '../../../src/core/made-disks.ts';
import type { NewDisk } from '../../../src/drivers/disk-files.ts';
import { ImageProcesses } from '../../../src/drivers/images/image-processes.ts';
import { LocalDiskFiles } from '../../../src/drivers/images/local-disk-files.ts';
import { ProcessDiskFiles } from '../../../src/drivers/images/process-disk-files.ts';
import { testDiskFiles } from '../../contract/disk-files-contract.ts';
import { HangingMount } from '../../fixtures/hanging-mount.ts';
import { makeQuickQemuImg, runWithKey } from '../../fixtures/quick-keys.ts';
import { Folder } from './image-folder.ts';

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;

/** As a guest does: whatever the format, some bytes in the middle of the disk. */
function writeInto(file: string, key?: string): void {
  const format = path.extname(file).slice(1);
  const given = ['-c', 'write -P 7 1M 64k'];
  if (key === undefined) execFileSync('qemu-io', ['-f', format, ...given, file]);
  else runWithKey('qemu-io', given, { path: file, format, key: key.replaceAll(',', ',,') });
}

async function makeImage(folder: Folder, bytes: number): Promise<DiskImage> {
  const image = folder.own('image.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(bytes)]);
  writeInto(image);
  const known = {
    source: 'https://example.org/a?signed=secret',
    digest: 'sha256:a',
    format: 'qcow2',
  } as const;
  return Promise.resolve({ ...known, path: image, bytes });
}

testDiskFiles('disk files of this process', async () => {
  const folder = await Folder.make();
  return {
    files: new LocalDiskFiles({ binary: makeQuickQemuImg(folder.own('')) }),
    folder: folder.own('disks'),
    makeImage: (bytes) => makeImage(folder, bytes),
    removeImage: rm,
    write: async (file, key) => Promise.resolve(writeInto(file, key)),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});

function processesFor(folder: Folder, timeoutMs = 10_000): ImageProcesses {
  const own = { folders: [folder.own('')], bootFolders: [], blockDevices: [], ownFiles: [] };
  return new ImageProcesses({ places: own, timeoutMs, binary: makeQuickQemuImg(folder.own('')) });
}

testDiskFiles('disk files of other processes', async () => {
  const folder = await Folder.make();
  const processes = processesFor(folder);
  return {
    files: new ProcessDiskFiles(processes),
    folder: folder.own('disks'),
    makeImage: (bytes) => makeImage(folder, bytes),
    removeImage: rm,
    write: async (file, key) => Promise.resolve(writeInto(file, key)),
    [Symbol.asyncDispose]: async () => {
      processes[Symbol.dispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
});

function diskIn(folder: Folder, changes: Partial<NewDisk> = {}): NewDisk {
  const own = folder.own('disks/root.qcow2');
  return { path: own, format: 'qcow2', bytes: 3 * 512 * 1000, owner: undefined, ...changes };
}

void describe('a disk that is made', () => {
  void test('has exactly the bytes that were asked for, takes no room and is for nobody else to read', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles();
    for (const format of ['raw', 'qcow2'] as const) {
      const disk = diskIn(folder, { path: folder.own(`disks/a.${format}`), format });
      await files.make(disk, never);
      const report = execFileSync('qemu-img', ['info', '--output=json', '-f', format, disk.path]);
      const { 'virtual-size': bytes } = JSON.parse(report.toString());
      assert.equal(bytes, disk.bytes);
      const { mode, blocks } = await stat(disk.path);
      assert.equal(mode & 0o777, 0o600);
      assert.ok(blocks * 512 < 300_000);
    }
    assert.equal((await stat(folder.own('disks'))).mode & 0o777, 0o711);
  });

  void test("is the hypervisor's user's where libvirt says who that is", {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using folder = await Folder.make();
    const disk = diskIn(folder, { owner: { uid: 64_055, gid: 994 } });
    await new LocalDiskFiles().make(disk, never);
    const { uid, gid } = await stat(disk.path);
    assert.deepEqual([uid, gid], [64_055, 994]);
  });

  void test('takes the place of nothing that is there, and of what a killed agent has left half-made', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles();
    const disk = diskIn(folder);
    await mkdir(path.dirname(disk.path));
    await writeFile(`${disk.path}.new`, 'half');
    assert.equal(await files.make(disk, never), 'made');
    assert.deepEqual(await readdir(path.dirname(disk.path)), ['root.qcow2']);
    await writeFile(disk.path, 'no image');
    await assert.rejects(files.make(disk, never), {
      reason: 'IMAGE_INVALID',
      message: /there is a file that is no qcow2 image; move it away/,
    });
    assert.equal(await readFile(disk.path, 'utf8'), 'no image');
  });

  void test('is made by one of many that ask at once', async () => {
    await using folder = await Folder.make();
    using processes = processesFor(folder);
    const files = new ProcessDiskFiles(processes);
    const made = await Promise.all(
      ['a', 'b', 'c'].map((name) =>
        files.make(diskIn(folder, { path: folder.own(`disks/${name}.qcow2`) }), never),
      ),
    );
    assert.deepEqual(made, ['made', 'made', 'made']);
  });

  void test('fails with STORAGE_FULL on a full file system, and leaves nothing', {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using folder = await Folder.make();
    const at = folder.own('small');
    await mkdir(at);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at]);
    assert.equal(mounted.status, 0);
    try {
      const disk = diskIn(folder, { path: path.join(at, 'root.qcow2'), bytes: 2 ** 40 });
      await assert.rejects(new LocalDiskFiles().make(disk, never), {
        reason: 'STORAGE_FULL',
        message: /file system is full; make room there/,
      });
      assert.deepEqual(await readdir(at), []);
    } finally {
      spawnSync('umount', [at]);
    }
  });

  void test('says why nothing can be made where that is so', async () => {
    await using folder = await Folder.make();
    await writeFile(folder.own('file'), '');
    const disk = diskIn(folder, { path: folder.own('file/root.qcow2') });
    await assert.rejects(new LocalDiskFiles().make(disk, never), {
      reason: 'IMAGE_NOT_READABLE',
      message: /no folder/,
    });
  });

  void test('waits for no storage that has gone away', {
    skip: isRoot && existsSync('/dev/fuse') ? false : 'needs root and /dev/fuse',
  }, async () => {
    await using folder = await Folder.make();
    using processes = processesFor(folder, 2_000);
    const files = new ProcessDiskFiles(processes);
    await using gone = await HangingMount.at(folder.own('gone'));
    const disk = diskIn(folder, { path: `${gone.folder}/root.qcow2` });
    await assert.rejects(files.make(disk, never), { reason: 'IMAGE_UNREACHABLE' });
    assert.equal(await files.isUnused(disk, never), false);
    assert.equal(await files.make(diskIn(folder), never), 'made');
  });
});
