import assert from 'node:assert/strict';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { ensureDemoGuest } from '../../../lab/guest/demo-guest.ts';
import { watchConsole } from '../../../lab/guest/demo-vm.ts';
import { Lab } from '../../../lab/lab.ts';
import { checkDisk, checkMemory, findSwitchover } from '../../../lab/migration/switchover.ts';
import { CONSOLE_LOG, startDomain } from './direct-domain.ts';
import { relay } from './relay.ts';

const BOOT_TIMEOUT_MS = 30_000;

test('the guest boots, counts, checks its memory and powers off when asked', async ({ signal }) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const node = lab.node('a');
  using console = watchConsole(node, CONSOLE_LOG);
  await startDomain(node, guest, signal);
  await console.waitFor('A check', BOOT_TIMEOUT_MS, () => console.passes.length > 0, signal);
  const counts = console.heartbeats.map(({ count }) => count);
  assert.deepEqual(
    counts,
    counts.map((_, index) => index + 1),
  );
  assert.ok((console.heartbeats.at(-1)?.rewrites ?? 0) > 0);
  assert.equal(console.bad, 0);
  assert.deepEqual(console.alarms, []);

  await node.libvirt.virsh(['shutdown', 'direct'], signal);
  await console.waitFor('Power off', 10_000, () => console.powerOff !== undefined, signal);
});

test('the guest notices when its disk is not what it has written', async ({ signal }) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  const image = path.join(lab.plan.sharedImages, 'disk.raw');
  await writeFile(image, Buffer.alloc(1024 * 1024, 7));
  using console = watchConsole(lab.node('a'), CONSOLE_LOG);
  await startDomain(lab.node('a'), guest, signal, image);
  const passes = () => console.diskPasses.length;
  await console.waitFor('Checks of the disk', BOOT_TIMEOUT_MS, () => passes() >= 2, signal);
  assert.deepEqual([console.diskBad, console.alarms], [0, []]);
  assert.equal(checkDisk(console), 'verified');
  // As if the image behind the disk were another one: a block of the half that is only read.
  await using file = await open(image, 'r+');
  await file.write(Buffer.alloc(4096, 8), 0, 4096, 1024 * 1024 - 4096);
  await file.sync();
  await console.waitFor('The alarm', BOOT_TIMEOUT_MS, () => console.diskBad > 0, signal);
  assert.equal(checkDisk(console), 'damaged');
  assert.match(console.alarms[0] ?? '', /^novacron-demo bad block=255 is not what was written/);
});

test('a live migration through relays keeps every count and all memory', async ({ signal }) => {
  const guest = await ensureDemoGuest(signal);
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  const [a, b] = [lab.node('a'), lab.node('b')];
  using source = watchConsole(a, CONSOLE_LOG);
  using destination = watchConsole(b, CONSOLE_LOG);
  await startDomain(a, guest, signal);
  await source.waitFor('A check', BOOT_TIMEOUT_MS, () => source.passes.length > 0, signal);

  for (const node of [a, b]) await node.run(['mkdir', '-p', '/run/novacron'], signal);
  await using _libvirt = await relay(a.outside('run/novacron/libvirt.sock'), b.libvirt.socket);
  await using _memory = await relay(
    a.outside('run/novacron/memory.sock'),
    b.outside('run/novacron/memory.sock'),
  );
  const migrate = ['migrate', '--live', '--p2p', '--persistent', '--undefinesource', 'direct'];
  const destinationUri = ['--desturi', 'qemu+unix:///system?socket=/run/novacron/libvirt.sock'];
  const memoryUri = ['--migrateuri', 'unix:///run/novacron/memory.sock'];
  await a.libvirt.virsh([...migrate, ...destinationUri, ...memoryUri], signal);
  await destination.waitFor(
    'A check that began on node b',
    BOOT_TIMEOUT_MS,
    () => checkMemory(destination) === 'verified',
    signal,
  );

  const switchover = findSwitchover(source, destination);
  assert.ok(switchover !== undefined);
  assert.equal(switchover.lost, 0);
  assert.equal(switchover.duplicated, 0);
  assert.equal(switchover.firstAtDestination, switchover.lastAtSource + 1);
  assert.ok(switchover.gapMs > 0);
  assert.ok(switchover.gapMs < 5_000);
});
