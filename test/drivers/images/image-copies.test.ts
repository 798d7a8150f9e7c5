import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { DiskImage } from '../../../src/core/made-disks.ts';
import type { CopyProgress, NewDisk } from '../../../src/drivers/disk-files.ts';
import { ImageProcesses } from '../../../src/drivers/images/image-processes.ts';
import { LocalDiskFiles } from '../../../src/drivers/images/local-disk-files.ts';
import { ProcessDiskFiles } from '../../../src/drivers/images/process-disk-files.ts';
import { until } from '../../fixtures/until.ts';
import { Folder } from './image-folder.ts';

const never = new AbortController().signal;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const isRoot = process.getuid?.() === 0;

/** An image of 1 GiB with 4 MiB of data in the middle of nothing. */
async function sparseImage(folder: Folder, format: 'raw' | 'qcow2'): Promise<DiskImage> {
  const image = folder.own(`image.${format}`);
  execFileSync('qemu-img', ['create', '-q', '-f', format, image, '1G']);
  const writes = ['-c', 'write -P 7 512M 3M', '-c', 'write -P 9 900M 1M', '-c', 'write -z 10M 1M'];
  execFileSync('qemu-io', ['-f', format, ...writes, image]);
  const known = { source: 'https://example.org/a', digest: 'sha256:a', isCopied: true } as const;
  return { ...known, path: image, format, bytes: GIB };
}

function diskIn(folder: string, format: 'raw' | 'qcow2', image: DiskImage): NewDisk {
  const file = path.join(folder, `root.${format}`);
  return { path: file, format, bytes: 2 * GIB, owner: undefined, image };
}

const take = (told: CopyProgress[]) => (progress: CopyProgress) => told.push(progress);
const bytesOf = async (file: string) => (await stat(file)).blocks * 512;

/** qemu-img, but for one that copies without end. */
async function endlessCopies(folder: Folder): Promise<string> {
  const binary = folder.own('qemu-img');
  const script = `#!/bin/sh
if [ "$1" = convert ]; then echo "    (25.00/100%)"; for file; do :; done; echo $$ >"$file.pid"; exec sleep 10000; fi
exec qemu-img "$@"
`;
  await writeFile(binary, script, { mode: 0o755 });
  return binary;
}

void describe('an image that is copied into a disk', () => {
  for (const from of ['raw', 'qcow2'] as const) {
    for (const to of ['raw', 'qcow2'] as const) {
      void test(`holes of a ${from} image stay holes in a ${to} disk, which is of the size asked for`, async () => {
        await using folder = await Folder.make();
        const image = await sparseImage(folder, from);
        const disk = diskIn(folder.own('disks'), to, image);
        const files = new LocalDiskFiles();
        const told: CopyProgress[] = [];
        await files.copy(disk, take(told), never);
        assert.equal(await files.make(disk, never), 'made');
        assert.ok((await bytesOf(disk.path)) < 6 * MIB, String(await bytesOf(disk.path)));
        const info = execFileSync('qemu-img', ['info', '--output=json', '-f', to, disk.path]);
        const found = JSON.parse(info.toString()) as Record<string, unknown>;
        assert.equal(found['virtual-size'], 2 * GIB);
        assert.equal(found['backing-filename'], undefined);
        execFileSync('qemu-img', ['compare', '-q', '-f', from, '-F', to, image.path, disk.path]);
        assert.equal((await stat(disk.path)).mode & 0o777, 0o600);
        assert.deepEqual(told.at(-1)?.bytes, told.at(-1)?.totalBytes);
        const total = told.at(-1)?.totalBytes ?? 0;
        assert.ok(total >= 4 * MIB && total < 5 * MIB, String(total));
      });
    }
  }

  void test('without room it is refused at once, with what it takes and what there is', {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using folder = await Folder.make();
    const image = await sparseImage(folder, 'raw');
    const at = folder.own('small');
    await mkdir(at);
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=2M', 'tmpfs', at]);
    try {
      const disk = diskIn(at, 'raw', image);
      await assert.rejects(
        new LocalDiskFiles().copy(disk, () => undefined, never),
        {
          reason: 'STORAGE_FULL',
          message: /that takes .*, and .*small has room for .*2Mi\); make room there/,
        },
      );
      assert.deepEqual(await readdir(at), []);
    } finally {
      spawnSync('umount', [at]);
    }
  });

  void test('one that fills its file system on the way fails with STORAGE_FULL, and leaves nothing', {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using folder = await Folder.make();
    const image = await sparseImage(folder, 'raw');
    const at = folder.own('small');
    await mkdir(at);
    spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=5M', 'tmpfs', at]);
    // What comes meanwhile was not there when it began.
    const binary = folder.own('qemu-img');
    const script = `#!/bin/sh\n[ "$1" = convert ] && head -c 3M /dev/zero >${at}/other\nexec qemu-img "$@"\n`;
    await writeFile(binary, script, { mode: 0o755 });
    try {
      const disk = diskIn(at, 'raw', image);
      await assert.rejects(
        new LocalDiskFiles({ binary }).copy(disk, () => undefined, never),
        {
          reason: 'STORAGE_FULL',
          message: /file system is full; make room there/,
        },
      );
      assert.deepEqual(await readdir(at), ['other']);
    } finally {
      spawnSync('umount', [at]);
    }
  });

  void test('one that is given up ends at once, with its process, and the next one begins at once', async () => {
    await using folder = await Folder.make();
    const image = await sparseImage(folder, 'raw');
    const disk = diskIn(folder.own('disks'), 'raw', image);
    const places = { folders: [folder.own('')], bootFolders: [], blockDevices: [], ownFiles: [] };
    const binary = await endlessCopies(folder);
    using processes = new ImageProcesses({ places, binary });
    const files = new ProcessDiskFiles(processes);
    for (const _round of [1, 2]) {
      const end = new AbortController();
      const told: CopyProgress[] = [];
      const copying = files.copy(disk, take(told), end.signal);
      const pidFile = `${disk.path}.new.pid`;
      await until('it copies', () => existsSync(pidFile) && told.length > 0);
      assert.ok((told[0]?.bytes ?? 0) >= MIB);
      const pid = Number(await readFile(pidFile, 'utf8'));
      const reason = new Error('enough');
      const givenUpAtMs = performance.now();
      end.abort(reason);
      await assert.rejects(copying, reason);
      assert.ok(performance.now() - givenUpAtMs < 1_000);
      assert.ok(!(await readdir(folder.own('disks'))).includes('root.raw.new'));
      await until('its process is gone', () => !existsSync(`/proc/${pid}`));
    }
  });

  void test('what a killed agent has left is thrown away by the next copy', async () => {
    await using folder = await Folder.make();
    const image = await sparseImage(folder, 'raw');
    const disk = diskIn(folder.own('disks'), 'raw', image);
    await mkdir(folder.own('disks'));
    for (const ending of ['.new', '.copied']) await writeFile(disk.path + ending, 'half');
    const files = new LocalDiskFiles();
    await files.copy(disk, () => undefined, never);
    assert.equal(await files.make(disk, never), 'made');
    assert.deepEqual(await readdir(folder.own('disks')), ['root.raw']);
  });
});
