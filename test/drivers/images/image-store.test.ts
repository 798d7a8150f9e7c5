import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { ImageStore, StoredImage } from '../../../src/drivers/image-store.ts';
import { LocalDiskFiles } from '../../../src/drivers/images/local-disk-files.ts';
import { LocalImageStore } from '../../../src/drivers/images/local-image-store.ts';
import { ProcessImageStore } from '../../../src/drivers/images/process-image-store.ts';
import { testImageStore } from '../../contract/image-store-contract.ts';
import { flip, patch, processesFor, removeDisk, StoreFolder } from './image-store-folder.ts';

function fixtureOf(folder: StoreFolder, store: ImageStore) {
  return {
    store,
    fetch: async (file: string, content: Buffer) => writeFile(file, content),
    isThere: async (file: string) => Promise.resolve(existsSync(file)),
    stand: async (image: StoredImage) => (await folder.makeDisk(image)).disk.path,
    removeDisk,
    damage: async (file: string) => flip(file, 100),
  };
}

testImageStore('image store of this process', async () => {
  const folder = await StoreFolder.make();
  return {
    ...fixtureOf(folder, new LocalImageStore({ folder: folder.disks })),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
});

testImageStore('image store of other processes', async () => {
  const folder = await StoreFolder.make();
  const processes = processesFor(folder);
  return {
    ...fixtureOf(folder, new ProcessImageStore(processes, folder.disks)),
    [Symbol.asyncDispose]: async () => {
      processes[Symbol.dispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
});

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;

function sizesOf(folder: StoreFolder, file: string) {
  const report = JSON.parse(folder.qemuImg('info', '--output=json', file));
  return { virtualBytes: report['virtual-size'], behind: report['backing-filename'] };
}

void describe('an image that is kept', () => {
  void test('is whole, closed to all but its owner, and runs from what it was converted to', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    for (const format of ['qcow2', 'vmdk', 'vdi', 'vhdx', 'vpc']) {
      const file = folder.create(`a.${format}`, format);
      const image = await folder.admit(store, file);
      assert.equal(image.format, 'qcow2');
      assert.equal(image.contentBytes, (await stat(file)).size);
      assert.equal((await stat(image.path)).mode & 0o777, 0o400);
      // VHD counts in cylinders, and rounds up.
      const { virtualBytes } = sizesOf(folder, image.path);
      assert.equal(image.virtualBytes, virtualBytes);
      folder.qemuImg('compare', `${file}.source`, image.path);
      assert.deepEqual(await store.verify(image.digest, never), { isWhole: true });
    }
    const { mode } = await stat(path.join(folder.disks, 'base'));
    assert.equal(mode & 0o777, 0o711);
    assert.equal((await folder.files()).length, 10);
  });

  void test("is the hypervisor's group's to read where libvirt says who that is", {
    skip: isRoot ? false : 'needs root',
  }, async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const owner = { uid: 64_055, gid: 994 };
    const image = await folder.admit(store, folder.create('a.vmdk', 'vmdk'), { owner });
    const { uid, gid, mode } = await stat(image.path);
    assert.deepEqual([uid, gid, mode & 0o777], [0, 994, 0o440]);
  });

  void test('of raw content takes no room for zeros, and ends with a whole sector to a guest', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    for (const [bytes, virtualBytes] of [
      [2 ** 28 + 1, 2 ** 28 + 512],
      [700, 1024],
    ] as const) {
      const file = folder.outside(`raw-${bytes}`);
      await writeFile(file, Buffer.alloc(bytes));
      await patch(file, 0, Buffer.from('some data'));
      const image = await folder.admit(store, file, { format: 'raw' });
      assert.deepEqual([image.format, image.virtualBytes], ['raw', virtualBytes]);
      assert.ok(image.diskBytes < 200_000, String(image.diskBytes));
      assert.deepEqual(await store.verify(image.digest, never), { isWhole: true });
    }
  });

  void test('counts only with what is known of it, and is replaced else', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const file = folder.create('a.qcow2', 'qcow2');
    const image = await folder.admit(store, file);
    const sidecar = image.path.replace('.qcow2', '.json');
    const known = await readFile(sidecar, 'utf8');
    for (const broken of ['', '{', '{}', known.replace(/"format": ".*"/, '"format": "vmdk"')]) {
      await writeFile(sidecar, broken);
      assert.deepEqual(await store.list(never), []);
      await store.note(image.digest, { usedAtMs: 5 }, never);
    }
    const { disk } = await folder.makeDisk(image);
    await store.tidy([], never);
    // A disk stands on it.
    assert.equal(existsSync(image.path), true);
    assert.deepEqual(await folder.admit(store, file), { ...image, usedBy: [disk.path] });
    await rm(image.path, { force: true });
    assert.deepEqual(await store.list(never), []);
    await removeDisk(disk.path);
    await store.tidy([], never);
    assert.deepEqual(await folder.files(), []);
  });

  void test('that was being removed while a disk was made is put back', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const image = await folder.admit(store, folder.create('a.qcow2', 'qcow2'));
    await folder.makeDisk(image);
    const incoming = await store.prepare(never);
    await rename(image.path, path.join(incoming, `${path.basename(image.path)}.removed`));
    await store.tidy([], never);
    assert.equal((await store.list(never)).length, 1);
  });

  void test('is found changed where a byte of it was', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const image = await folder.admit(store, folder.create('a.vdi', 'vdi'));
    const { size } = await stat(image.path);
    await flip(image.path, size - 1);
    const changed = await store.verify(image.digest, never);
    assert.ok(!changed.isWhole);
    assert.match(changed.problem, /^is not what it was when it was kept: its SHA-256 is \w+, and/);
    await truncate(image.path, size - 1);
    const cut = await store.verify(image.digest, never);
    assert.ok(!cut.isWhole);
    assert.match(cut.problem, new RegExp(`^has ${size - 1} bytes, and had ${size}`));
  });

  void test('is in use by every disk that names it, in whichever way', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const image = await folder.admit(store, folder.create('a.qcow2', 'qcow2'));
    const names = [
      image.path,
      `base/${path.basename(image.path)}`,
      `json:{"driver":"qcow2","file":{"driver":"file","filename":"${image.path}"}}`,
    ];
    const disks = names.map((name, index) => {
      const disk = path.join(folder.disks, `disk-${index}`);
      folder.qemuImg('create', '-q', '-f', 'qcow2', '-u', '-F', 'qcow2', '-b', name, disk, '8M');
      return disk;
    });
    assert.deepEqual((await store.list(never))[0]?.usedBy, disks);
    await assert.rejects(store.remove(image.digest, never), {
      reason: 'IMAGE_IN_USE',
      message: `Cannot remove the image ${image.digest}: ${disks.join(', ')} stand on it; remove the VMs that have those disks, and the disks, first`,
    });
  });
});

void describe('a disk of an image', () => {
  void test('stands on it, with exactly the bytes that were asked for', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const files = new LocalDiskFiles();
    const image = await folder.admit(store, folder.create('a.qcow2', 'qcow2', '2G'));
    await assert.rejects(folder.makeDisk(image, { bytes: 2 ** 30 }), {
      reason: 'IMAGE_INVALID',
      message: /of 2147483648 bytes \(2Gi\), and the disk of 1073741824 bytes \(1Gi\)/,
    });
    for (const bytes of [2 ** 31, 3 * 2 ** 30, 2 ** 31 + 512]) {
      const { disk, made } = await folder.makeDisk(image, { bytes });
      assert.equal(made, 'made');
      assert.deepEqual(sizesOf(folder, disk.path), { virtualBytes: bytes, behind: image.path });
      assert.ok((await stat(disk.path)).blocks * 512 < 300_000);
      assert.equal(await files.make(disk, never), 'there');
      const { image: _, ...empty } = disk;
      await assert.rejects(files.make(empty, never), {
        reason: 'IMAGE_INVALID',
        message: /there is a disk that stands on .*, and one on none is wanted/,
      });
      assert.equal(await files.isUnused(disk, never), true);
      execFileSync('qemu-io', ['-f', 'qcow2', '-c', 'write -z 1M 64k', disk.path]);
      assert.equal(await files.isUnused(disk, never), false);
      await removeDisk(disk.path);
    }
    await store.remove(image.digest, never);
    await assert.rejects(folder.makeDisk(image), { reason: 'IMAGE_NOT_FOUND' });
    assert.deepEqual(await folder.files(), []);
  });

  void test('that is raw has all that is in the image, and no more room is taken', async () => {
    await using folder = await StoreFolder.make();
    const store = new LocalImageStore({ folder: folder.disks });
    const file = folder.create('a.qcow2', 'qcow2', '64M', '-c');
    const image = await folder.admit(store, file);
    const { disk } = await folder.makeDisk(image, { format: 'raw', bytes: 2 ** 27 + 512 });
    const { size, blocks, mode } = await stat(disk.path);
    assert.deepEqual([size, mode & 0o777], [2 ** 27 + 512, 0o600]);
    assert.ok(blocks * 512 < 2 ** 21);
    const compare = ['compare', '-f', 'raw', '-F', 'raw', disk.path, `${file}.source`];
    folder.qemuImg(...compare);
    assert.equal(await new LocalDiskFiles().make(disk, never), 'there');
    await store.remove(image.digest, never);
  });
});
