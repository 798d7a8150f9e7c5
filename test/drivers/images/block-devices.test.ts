import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { constants, existsSync } from 'node:fs';
import { mkdir, open, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { findDeviceUse } from '../../../src/drivers/images/device-use.ts';
import { Folder, problemOf } from './image-folder.ts';

const loopDevices =
  process.getuid?.() === 0 && existsSync('/dev/loop-control')
    ? false
    : 'needs root and loop devices';

void describe('a block device', { skip: loopDevices }, () => {
  void test('needs a pattern that allows it, and may not be in use by the host', async () => {
    await using folder = await Folder.make();
    const file = await folder.raw(folder.own('disk'));
    await truncate(file, 2 ** 24);
    await using loop = attachLoop(file);
    const query = { path: loop.device, kind: 'block-device', format: 'raw' } as const;
    const none = await problemOf(folder, query);
    assert.match(
      none,
      /^IMAGE_NOT_ALLOWED: no pattern .*images\.blockDevices allows it \(there is none\)/,
    );
    const blockDevices = ['/dev/loop*'];
    // Also asked by several at once, as for a plan and a start.
    const asked = Array.from({ length: 4 }, () => problemOf(folder, query, { blockDevices }));
    assert.deepEqual([...new Set(await Promise.all(asked))], ['']);
    assert.match(await problemOf(folder, query, { blockDevices: ['/dev/l'] }), /\(\/dev\/l\)/);
    // A pattern is about devices: it lets nobody have a file, nor a folder for images a device.
    const foreign = await folder.raw(folder.foreign('disk'));
    const byPattern = { blockDevices: [folder.foreign('*')] };
    assert.match(
      await problemOf(folder, { path: foreign, format: 'raw' }, byPattern),
      /^IMAGE_NOT_ALLOWED/,
    );
    // A link from where VMs have their images is no way to a device.
    await symlink(loop.device, folder.own('link'));
    assert.match(
      await problemOf(folder, { path: folder.own('link'), format: 'raw' }),
      /^IMAGE_NOT_ALLOWED/,
    );

    execFileSync('mkfs.ext4', ['-q', loop.device]);
    const mount = folder.own('mount');
    await mkdir(mount);
    execFileSync('mount', [loop.device, mount]);
    try {
      const mounted = await problemOf(folder, query, { blockDevices });
      assert.match(mounted, /^DEVICE_IN_USE: it is mounted at .*own\/mount; choose/);
    } finally {
      execFileSync('umount', [mount]);
    }
    await using _claim = await open(loop.device, constants.O_RDONLY | constants.O_EXCL);
    assert.match(
      await problemOf(folder, query, { blockDevices }),
      /^DEVICE_IN_USE: the kernel or another program has it for itself/,
    );
  });
});

/** A line of /proc/PID/mountinfo. */
function mount(id: string, source: string): string {
  return `36 35 ${id} / /srv rw - ext4 ${source} rw\n`;
}

/** What sysfs and proc would say of a device, as `files` by their paths. */
async function useOf(files: (id: string, device: string) => Readonly<Record<string, string>>) {
  await using folder = await Folder.make();
  const file = await folder.raw(folder.own('disk'));
  await using loop = attachLoop(file);
  const minor = Number(/\d+$/.exec(loop.device)?.[0]);
  for (const [name, content] of Object.entries(files(`7:${minor}`, loop.device))) {
    const target = path.join(folder.root, name);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(target, content);
  }
  const [proc, sys] = [path.join(folder.root, 'proc'), path.join(folder.root, 'sys')];
  return await findDeviceUse(loop.device, { proc, sys });
}

void describe('what the host does with a block device', { skip: loopDevices }, () => {
  void test('is nothing where nothing says so', async () => {
    assert.equal(await useOf(() => ({})), undefined);
  });

  void test('is told of its mounts, in the host’s namespace too, and of those of its partitions', async () => {
    const own = await useOf((id) => ({ 'proc/1/mountinfo': mount(id, '/dev/root') }));
    assert.equal(own, 'it is mounted at /srv');
    const several = await useOf((_, device) => ({ 'proc/self/mountinfo': mount('0:99', device) }));
    assert.equal(several, 'it is mounted at /srv');
    const partition = await useOf((id) => ({
      [`sys/dev/block/${id}/loop0p1/partition`]: '1\n',
      [`sys/dev/block/${id}/loop0p1/dev`]: '259:7\n',
      'proc/1/mountinfo': mount('259:7', '/dev/root'),
    }));
    assert.equal(partition, 'it is mounted at /srv');
  });

  void test('is told of swap and of what is built on it', async () => {
    const swap = await useOf((_, device) => ({
      'proc/swaps': `Filename Type Size Used Priority\n${device} partition 1 0 -2\n`,
    }));
    assert.equal(swap, 'it is used for swap');
    const held = await useOf((id) => ({ [`sys/dev/block/${id}/holders/dm-0`]: '' }));
    assert.match(held ?? '', /^it is held by dm-0 \(LVM, RAID, encryption\); if .*global_filter/);
  });
});

function attachLoop(file: string): { readonly device: string } & AsyncDisposable {
  const device = execFileSync('losetup', ['-f', '--show', file], { encoding: 'utf8' }).trim();
  return {
    device,
    async [Symbol.asyncDispose]() {
      execFileSync('losetup', ['-d', device]);
    },
  };
}
