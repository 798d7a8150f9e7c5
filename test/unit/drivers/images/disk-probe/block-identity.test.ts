import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { identityOf } from '../../../../../src/drivers/images/disk-probe/block-identity.ts';

/** Folders of block devices as sysfs has them: files by device. */
type Devices = Readonly<Record<string, Readonly<Record<string, string>>>>;

class Sysfs implements AsyncDisposable {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async with(devices: Devices, slaves: Readonly<Record<string, readonly string[]>> = {}) {
    const sysfs = new Sysfs(await mkdtemp(path.join(tmpdir(), 'novacron-sysfs-')));
    for (const [device, files] of Object.entries(devices)) {
      for (const [name, content] of Object.entries({ size: '2048', ...files })) {
        const file = path.join(sysfs.at(device), name);
        await mkdir(path.dirname(file), { recursive: true });
        await writeFile(file, `${content}\n`);
      }
    }
    for (const [device, names] of Object.entries(slaves)) {
      await mkdir(path.join(sysfs.at(device), 'slaves'));
      for (const name of names) {
        const link = path.join(sysfs.at(device), 'slaves', name.replace('/', '-'));
        await symlink(sysfs.at(name), link);
      }
    }
    return sysfs;
  }

  at(device: string): string {
    return path.join(this.#root, device);
  }

  idOf(device: string): string | undefined {
    return identityOf(this.at(device)).deviceId;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#root, { recursive: true });
  }
}

test('a disk is known by its world-wide name, and its size is told', async () => {
  await using sysfs = await Sysfs.with({
    sda: { 'device/wwid': 'naa.600140512345' },
    sdb: { 'device/wwid': 't10.LIO-ORG   disk1' },
    nvme0n1: { wwid: 'eui.0025388b' },
  });
  assert.deepEqual(identityOf(sysfs.at('sda')), {
    deviceId: 'naa.600140512345',
    sizeBytes: 1_048_576,
  });
  assert.equal(sysfs.idOf('sdb'), 't10.LIO-ORG disk1');
  assert.equal(sysfs.idOf('nvme0n1'), 'eui.0025388b');
});

test('names that many machines have in common are none', async () => {
  await using sysfs = await Sysfs.with({
    sda: { 'device/wwid': 't10.ATA     QEMU HARDDISK                QM00003' },
    sdb: { 'device/wwid': '0QEMU' },
    loop0: {},
  });
  for (const device of ['sda', 'sdb', 'loop0']) assert.equal(sysfs.idOf(device), undefined);
});

test('a disk of virtio is known by the serial number that it was given', async () => {
  await using sysfs = await Sysfs.with({ vda: { serial: 'vol-0123' }, vdb: { serial: '' } });
  assert.equal(sysfs.idOf('vda'), 'serial vol-0123');
  assert.equal(sysfs.idOf('vdb'), undefined);
});

test('a partition is known by its disk and its place there', async () => {
  await using sysfs = await Sysfs.with({
    sda: { 'device/wwid': 'naa.6001' },
    'sda/sda2': { partition: '2', start: '4096' },
  });
  assert.equal(sysfs.idOf('sda/sda2'), 'naa.6001 partition 2 at 4096');
});

test('an RBD image is known by its cluster, pool and id', async () => {
  const device = {
    'device/cluster_fsid': 'f00',
    'device/pool_id': '3',
    'device/image_id': '10ab',
    'device/snap_id': '18446744073709551614',
  };
  await using sysfs = await Sysfs.with({ rbd0: device });
  assert.equal(sysfs.idOf('rbd0'), 'rbd f00/3/10ab@18446744073709551614');
});

test('a logical volume is known by its uuid and the disks below, which a cloned host does not share', async () => {
  const lv = { 'dm/uuid': 'LVM-vgvgvglvlvlv' };
  await using one = await Sysfs.with(
    { 'dm-0': lv, sda: { 'device/wwid': 'naa.1' }, sdb: { 'device/wwid': 'naa.2' } },
    { 'dm-0': ['sda', 'sdb'] },
  );
  await using renamed = await Sysfs.with(
    { 'dm-3': lv, sdc: { 'device/wwid': 'naa.2' }, sdd: { 'device/wwid': 'naa.1' } },
    { 'dm-3': ['sdc', 'sdd'] },
  );
  await using cloned = await Sysfs.with(
    { 'dm-0': lv, sda: { 'device/wwid': 'naa.3' } },
    { 'dm-0': ['sda'] },
  );
  await using nameless = await Sysfs.with({ 'dm-0': lv, vda: {} }, { 'dm-0': ['vda'] });
  assert.equal(one.idOf('dm-0'), 'LVM-vgvgvglvlvlv on naa.1, naa.2');
  assert.equal(renamed.idOf('dm-3'), one.idOf('dm-0'));
  assert.notEqual(cloned.idOf('dm-0'), one.idOf('dm-0'));
  assert.equal(nameless.idOf('dm-0'), undefined);
});

test('several paths to one device have its name', async () => {
  await using sysfs = await Sysfs.with(
    { 'dm-1': { 'dm/uuid': 'mpath-3600140512345' }, sda: {} },
    { 'dm-1': ['sda'] },
  );
  assert.equal(sysfs.idOf('dm-1'), 'mpath-3600140512345');
});
