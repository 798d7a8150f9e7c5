import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { describe, test } from 'node:test';
import type { DiskImage } from '../../src/core/made-disks.ts';
import type { NewDisk } from '../../src/drivers/disk-files.ts';
import { LocalDiskFiles } from '../../src/drivers/images/local-disk-files.ts';
import { Folder, inspectorFor, type Query, queryOf } from '../drivers/images/image-folder.ts';
import { makeQuickQemuImg, runWithKey } from '../fixtures/quick-keys.ts';

const never = new AbortController().signal;
const KEY = 'open-sesame-6f1d';
const MIB = 2 ** 20;

function diskIn(
  folder: Folder,
  format: 'raw' | 'qcow2',
  changes: Pick<Partial<NewDisk>, 'bytes' | 'image' | 'path'> = {},
) {
  return {
    path: folder.own(`disks/root.${format}`),
    format,
    bytes: 3 * 512 * 1000,
    owner: undefined,
    encryption: { secret: 'disk-key' },
    key: KEY,
    ...changes,
  } as const;
}

async function imageIn(folder: Folder): Promise<DiskImage> {
  const plain = folder.own('content.raw');
  // Zeros between, which are part of the content.
  writeFileSync(plain, Buffer.concat([Buffer.alloc(MIB, 'plain text '), Buffer.alloc(3 * MIB)]));
  const image = folder.own('image.qcow2');
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', plain, image]);
  const known = { source: 'https://example.org/a', digest: 'sha256:a', format: 'qcow2' } as const;
  return Promise.resolve({ ...known, path: image, bytes: 4 * MIB });
}

function sizeOf(disk: ReturnType<typeof diskIn>): number {
  const report = runWithKey('qemu-img', ['info', '--output=json'], disk);
  return (JSON.parse(report) as { readonly 'virtual-size': number })['virtual-size'];
}

/** The status that it ends with. */
function readWithoutKey({ path, format }: ReturnType<typeof diskIn>): number | null {
  const driver = format === 'raw' ? 'luks' : 'qcow2';
  return spawnSync('qemu-io', ['-f', driver, '-c', 'read 0 512', path]).status;
}

void describe('a disk that is made encrypted', () => {
  void test('shows its guest exactly the bytes that were asked for, takes no room for them, and is for nobody else to read', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles();
    for (const format of ['raw', 'qcow2'] as const) {
      const disk = diskIn(folder, format, { bytes: 2 ** 30 });
      await files.make(disk, never);
      assert.equal(sizeOf(disk), 2 ** 30);
      const { mode, blocks, size } = await stat(disk.path);
      assert.equal(mode & 0o777, 0o600);
      assert.ok(blocks * 512 < 4 * MIB, `${format} takes ${blocks * 512} bytes`);
      // Of a container the header stands before what the guest sees.
      if (format === 'raw') assert.ok(size > disk.bytes);
      assert.notEqual(readWithoutKey(disk), 0);
    }
  });

  void test('hides what is written to it, also where it stands on an image or was copied from one', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles({ binary: makeQuickQemuImg(folder.own('')) });
    const image = await imageIn(folder);
    for (const format of ['raw', 'qcow2'] as const) {
      const disk = diskIn(folder, format, { image, bytes: 8 * MIB });
      await files.make(disk, never);
      assert.equal(sizeOf(disk), 8 * MIB);
      runWithKey('qemu-io', ['-c', 'write -P 0x41 2M 64k'], disk);
      const content = readFileSync(disk.path);
      for (const text of ['plain text', 'A'.repeat(64), KEY]) assert.ok(!content.includes(text));
      const read = (pattern: string) => runWithKey('qemu-io', ['-c', `read -P ${pattern}`], disk);
      assert.doesNotMatch(read('0x41 2M 64k'), /failed/);
      assert.doesNotMatch(read('0 3M 1M'), /failed/);
    }
    const found = execFileSync('qemu-img', ['info', '--output=json', diskIn(folder, 'qcow2').path]);
    const { encrypted, 'backing-filename': behind } = JSON.parse(found.toString());
    assert.deepEqual([encrypted, behind], [true, image.path]);
  });

  void test('has its key in no command line, no environment and no file that can be found', async () => {
    await using folder = await Folder.make();
    const seen = folder.own('seen');
    const script = folder.own('watched-qemu-img');
    const shm = readdirSync('/dev/shm').length;
    writeFileSync(
      script,
      `#!/bin/sh
{ tr '\\0' ' ' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; ls -l /proc/$PPID/fd; grep -l ${KEY} /dev/shm/* /tmp/* ${folder.own('')}/* 2>/dev/null; } >> ${seen}
exec ${makeQuickQemuImg(folder.own(''))} "$@"
`,
    );
    chmodSync(script, 0o755);
    const disk = diskIn(folder, 'qcow2');
    await new LocalDiskFiles({ binary: script }).make(disk, never);
    const text = readFileSync(seen, 'utf8');
    assert.match(text, /secret,id=key,file=\/proc\/\d+\/fd\/\d+/);
    assert.match(text, /novacron-\S+ \(deleted\)/);
    assert.ok(!text.replaceAll(script, '').includes(KEY));
    assert.equal(readdirSync('/dev/shm').length, shm);
  });

  void test('is known for used once a guest has written to it, and for unused while it has not and is not open', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles({ binary: makeQuickQemuImg(folder.own('')) });
    for (const format of ['raw', 'qcow2'] as const) {
      const disk = diskIn(folder, format, { bytes: 8 * MIB });
      await files.make(disk, never);
      // The guest of a raw disk may have put a header of LUKS there itself.
      const asPlain = { ...disk, encryption: undefined };
      assert.equal(await files.isUnused(asPlain, never), format === 'qcow2');
      assert.equal(await files.isUnused(disk, never), true);
      runWithKey('qemu-io', ['-c', 'write -P 0 7M 512'], disk);
      assert.equal(await files.isUnused(disk, never), false);
    }
  });

  void test('is taken for what it is where its VM has the key, and refused where nobody has', async () => {
    await using folder = await Folder.make();
    const files = new LocalDiskFiles({ binary: makeQuickQemuImg(folder.own('')) });
    const problemOf = async (query: Query) =>
      (await inspectorFor(folder).find(queryOf(query), never))?.problem?.text ?? '';
    for (const format of ['raw', 'qcow2'] as const) {
      const { path } = diskIn(folder, format);
      await files.make(diskIn(folder, format), never);
      for (const encryption of ['required', 'any'] as const) {
        assert.equal(await problemOf({ path, format, encryption }), '');
      }
      // To whoever is given a raw one it is a disk that some guest has encrypted.
      assert.match(await problemOf({ path, format }), format === 'raw' ? /^$/ : /is encrypted/);
      const plain = diskIn(folder, format, { path: folder.own(`disks/plain.${format}`) });
      await files.make({ ...plain, key: undefined, encryption: undefined }, never);
      const asked = { path: plain.path, format } as const;
      assert.match(await problemOf({ ...asked, encryption: 'required' }), /it is not encrypted/);
      assert.equal(await problemOf({ ...asked, encryption: 'any' }), '');
    }
    const behind = diskIn(folder, 'qcow2').path;
    const upon = folder.create(folder.own('upon'), '-u', '-b', behind, '-F', 'qcow2');
    assert.match(await problemOf({ path: upon, encryption: 'any' }), /root\.qcow2 is encrypted/);
  });
});
