import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { hasDiskLeases } from '../../../../src/drivers/libvirt/disk-lease.ts';

async function hasLeases(files: Readonly<Record<string, string>>): Promise<boolean> {
  const folder = await mkdtemp(path.join(tmpdir(), 'novacron-lease-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await writeFile(path.join(folder, name), content);
    }
    return await hasDiskLeases(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('without a lock manager there are no leases', async () => {
  assert.equal(await hasLeases({}), false);
  assert.equal(await hasLeases({ 'qemu.conf': '#lock_manager = "lockd"\nuser = "root"\n' }), false);
  assert.equal(await hasDiskLeases('/no/such/folder'), false);
});

test("virtlockd's leases hold between hosts only in a folder that they share", async () => {
  const conf = { 'qemu.conf': 'user = "root"\nlock_manager = "lockd"\n' };
  assert.equal(await hasLeases(conf), false);
  const commented = '#scsi_lockspace_dir = "/srv/locks"\n';
  assert.equal(await hasLeases({ ...conf, 'qemu-lockd.conf': commented }), false);
  const shared = 'scsi_lockspace_dir = "/srv/locks"\n';
  assert.equal(await hasLeases({ ...conf, 'qemu-lockd.conf': shared }), true);
  const off = `auto_disk_leases = 0\n${shared}`;
  assert.equal(await hasLeases({ ...conf, 'qemu-lockd.conf': off }), false);
});

test('sanlock takes leases where it is told to take them by itself', async () => {
  const conf = { 'qemu.conf': 'lock_manager="sanlock"' };
  assert.equal(await hasLeases(conf), false);
  assert.equal(await hasLeases({ ...conf, 'qemu-sanlock.conf': 'auto_disk_leases = 1\n' }), true);
});
