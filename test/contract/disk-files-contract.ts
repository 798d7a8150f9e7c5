import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { DiskImage } from '../../src/core/made-disks.ts';
import type { CopyProgress, DiskFiles, NewDisk } from '../../src/drivers/disk-files.ts';

export interface DiskFilesFixture extends AsyncDisposable {
  readonly files: DiskFiles;
  /** A folder that is not there yet. */
  readonly folder: string;
  /** Puts an image of so many bytes there, for disks to be made of. */
  makeImage(bytes: number): Promise<DiskImage>;
  removeImage(path: string): Promise<void>;
  /** Has a guest write to a disk. */
  write(file: string, key?: string): Promise<void>;
}

const never = new AbortController().signal;
const BYTES = 8 * 2 ** 20;
const SAYS_NO_SECRET = /^(?!.*secret)/s;

/** What everybody who makes disks promises. */
export function testDiskFiles(name: string, make: () => Promise<DiskFilesFixture>): void {
  void describe(name, () => {
    for (const format of ['raw', 'qcow2'] as const) {
      const newDisk = (folder: string, changes: Partial<NewDisk> = {}): NewDisk => ({
        path: path.join(folder, `root.${format}`),
        format,
        bytes: BYTES,
        owner: undefined,
        ...changes,
      });

      void test(`makes a disk of the format ${format}, once`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        assert.deepEqual(await files.list(folder, never), []);
        const disk = newDisk(folder);
        assert.equal(await files.make(disk, never), 'made');
        assert.deepEqual(await files.list(folder, never), [disk.path]);
        assert.equal(await files.make(disk, never), 'there');
        assert.equal(await files.isUnused(disk, never), true);
      });

      void test(`keeps what a guest has written to one of the format ${format}`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        const disk = newDisk(folder);
        await files.make(disk, never);
        await fixture.write(disk.path);
        assert.equal(await files.make(disk, never), 'there');
        assert.equal(await files.isUnused(disk, never), false);
        const other = newDisk(folder, { bytes: 2 * BYTES });
        await assert.rejects(files.make(other, never), { reason: 'IMAGE_INVALID' });
        assert.equal(await files.isUnused(disk, never), false);
      });

      void test(`copies an image into a disk of the format ${format}, where it has room for that`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        const image = { ...(await fixture.makeImage(BYTES)), isCopied: true } as const;
        const disk = newDisk(folder, { image, bytes: 2 * BYTES });
        const small = newDisk(folder, { image, bytes: BYTES - 512 });
        const copy = async (what: NewDisk) => await files.copy(what, () => undefined, never);
        await assert.rejects(copy(small), { reason: 'IMAGE_INVALID', message: SAYS_NO_SECRET });
        await assert.rejects(files.make(disk, never), { reason: 'STATE_NOT_READY' });
        assert.deepEqual(await files.list(folder, never), []);
        const told: CopyProgress[] = [];
        await files.copy(disk, (progress) => told.push(progress), never);
        const end = told.at(-1);
        assert.ok(end !== undefined && end.bytes === end.totalBytes && end.totalBytes > 0);
        assert.equal(await files.make(disk, never), 'made');
        assert.deepEqual(await files.list(folder, never), [disk.path]);
        assert.equal(await files.isUnused(disk, never), false);
        await fixture.removeImage(image.path);
        await copy(disk);
        assert.equal(await files.make(disk, never), 'there');
        assert.deepEqual(await files.list(folder, never), [disk.path]);
        await files.remove(disk.path, never);
        await assert.rejects(copy(disk), { reason: 'IMAGE_NOT_FOUND', message: SAYS_NO_SECRET });
        assert.deepEqual(await files.list(folder, never), []);
      });

      void test(`leaves nothing of a copy of the format ${format} that is given up, or is not wanted`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        const image = { ...(await fixture.makeImage(BYTES)), isCopied: true } as const;
        const disk = newDisk(folder, { image });
        const reason = new Error('enough');
        const end = new AbortController();
        await assert.rejects(
          files.copy(disk, () => end.abort(reason), end.signal),
          reason,
        );
        assert.deepEqual(await files.list(folder, never), []);
        await files.copy(disk, () => undefined, never);
        await files.discardCopy(disk.path, never);
        await files.discardCopy(disk.path, never);
        assert.deepEqual(await files.list(folder, never), []);
      });

      void test(`makes an encrypted disk of the format ${format}, for which there is one key`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        const encrypted = newDisk(folder, {
          encryption: { secret: 'disk-key' },
          key: 'open, sesame',
        });
        const plain = newDisk(folder);
        assert.equal(await files.make(encrypted, never), 'made');
        assert.equal(await files.make(encrypted, never), 'there');
        assert.equal(await files.isUnused(encrypted, never), true);
        const other = { ...encrypted, key: 'sesame, open' };
        const saysNoKey = { reason: 'IMAGE_INVALID', message: /^(?!.*sesame)/s };
        for (const disk of [other, plain]) await assert.rejects(files.make(disk, never), saysNoKey);
        await fixture.write(encrypted.path, encrypted.key);
        assert.equal(await files.isUnused(encrypted, never), false);
        assert.equal(await files.make(encrypted, never), 'there');
        const larger = { ...encrypted, bytes: 2 * BYTES };
        await files.resize(larger, never);
        assert.equal(await files.make(larger, never), 'there');
        await files.remove(encrypted.path, never);
        await files.make(plain, never);
        await assert.rejects(files.make(encrypted, never), saysNoKey);
      });

      void test(`removes one of the format ${format}, and none`, async () => {
        await using fixture = await make();
        const { files, folder } = fixture;
        const disk = newDisk(folder);
        await files.make(disk, never);
        await files.remove(disk.path, never);
        await files.remove(disk.path, never);
        assert.deepEqual(await files.list(folder, never), []);
        assert.equal(await files.isUnused(disk, never), false);
      });
    }

    void test('makes a disk that stands on an image, where it has room for that', async () => {
      await using fixture = await make();
      const { files, folder } = fixture;
      const image = await fixture.makeImage(BYTES);
      const at = {
        path: path.join(folder, 'root.qcow2'),
        format: 'qcow2',
        owner: undefined,
      } as const;
      const disk = { ...at, image, bytes: BYTES };
      const small = { ...at, image, bytes: BYTES - 512 };
      await assert.rejects(files.make(small, never), {
        reason: 'IMAGE_INVALID',
        message: SAYS_NO_SECRET,
      });
      assert.deepEqual(await files.list(folder, never), []);
      assert.equal(await files.make(disk, never), 'made');
      assert.equal(await files.make(disk, never), 'there');
      await fixture.write(disk.path);
      assert.equal(await files.isUnused(disk, never), false);
      assert.equal(await files.make(disk, never), 'there');
      await files.remove(disk.path, never);
      await fixture.removeImage(image.path);
      await assert.rejects(files.make(disk, never), {
        reason: 'IMAGE_NOT_FOUND',
        message: SAYS_NO_SECRET,
      });
      assert.deepEqual(await files.list(folder, never), []);
    });

    void test('tells a disk that stands on an image from one that does not, and whether a guest has written to it', async () => {
      await using fixture = await make();
      const { files, folder } = fixture;
      const image = await fixture.makeImage(BYTES);
      const empty = {
        path: `${folder}/root.qcow2`,
        format: 'qcow2',
        bytes: BYTES,
        owner: undefined,
      } as const;
      const disk = { ...empty, image };
      await files.make(disk, never);
      assert.equal(await files.isUnused(disk, never), true);
      await assert.rejects(files.make(empty, never), { reason: 'IMAGE_INVALID' });
      await files.remove(disk.path, never);
      await files.make(empty, never);
      await assert.rejects(files.make(disk, never), { reason: 'IMAGE_INVALID' });
    });

    void test('says what room there is in a folder, and whose it is', async () => {
      await using fixture = await make();
      const { files, folder } = fixture;
      assert.ok((await files.availableBytes(folder, never)) > 0);
      assert.equal(await files.isLocal(folder, never), true);
    });

    void test('fails with the reason of an aborted signal, and makes nothing', async () => {
      await using fixture = await make();
      const { files, folder } = fixture;
      const reason = new Error('enough');
      const disk = {
        path: `${folder}/a.raw`,
        format: 'raw',
        bytes: BYTES,
        owner: undefined,
      } as const;
      await assert.rejects(files.make(disk, AbortSignal.abort(reason)), reason);
      assert.deepEqual(await files.list(folder, never), []);
    });
  });
}
