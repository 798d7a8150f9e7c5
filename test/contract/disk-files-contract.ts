import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { DiskFiles, NewDisk } from '../../src/drivers/disk-files.ts';

export interface DiskFilesFixture extends AsyncDisposable {
  readonly files: DiskFiles;
  /** A folder that is not there yet. */
  readonly folder: string;
  /** Has a guest write to a disk. */
  write(file: string): Promise<void>;
}

const never = new AbortController().signal;
const BYTES = 8 * 2 ** 20;

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
