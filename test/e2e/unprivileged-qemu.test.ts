import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { createDemoDisk } from '../../lab/guest/demo-disk.ts';
import { ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import {
  connectAgent,
  createDemoVm,
  findConsoleLog,
  watchConsole,
} from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import { checkDisk, checkMemory } from '../../lab/migration/switchover.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { MigrationPhase } from '../../src/client/api.ts';
import { followMigration } from '../../src/client/watches.ts';

// As Debian's package has it. QEMU then may make its socket only where it was given a folder.
const QEMU_USER = 'libvirt-qemu';
const PATIENCE_MS = 60_000;

test('a VM migrates between nodes whose QEMU does not run as root', async ({ signal }) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'], qemuUser: QEMU_USER }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const [a, b] = [lab.node('a'), lab.node('b')];
  const guest = await ensureDemoGuest(signal);
  // The checkout may lie where only root can read; the lab's own folder does not.
  const initrdPath = path.join(path.dirname(a.plan.directory), 'initrd');
  const kernelPath = path.join(path.dirname(a.plan.directory), 'kernel');
  await copyFile(guest.initrdPath, initrdPath);
  await copyFile(guest.kernelPath, kernelPath);
  const images = path.join(path.dirname(a.plan.directory), 'images');
  const disk = await createDemoDisk(images, 'demo', signal);
  execFileSync('chown', [QEMU_USER, disk.path, disk.basePath]);

  using client = await connectAgent(a);
  const vm = await createDemoVm(
    client,
    {
      name: 'demo',
      guest: { ...guest, kernelPath, initrdPath },
      parameters: 'demo.region=32M demo.rate=300',
      memory: '256Mi',
      disk,
      // The lab's folder may be in memory, which is not to be had past the cache; the VM must move all the same.
      cache: 'writeback',
    },
    signal,
  );
  const uid = vm.metadata?.uid ?? '';
  const log = await findConsoleLog(a, uid, signal);
  using source = watchConsole(a, log);
  using destination = watchConsole(b, log);
  await source.waitFor('The guest', PATIENCE_MS, () => source.diskPasses.length > 0, signal);
  assert.notEqual(await ownerOfQemu(a), 0);

  const id = '5f3d2c10-9a7b-4c1e-8d2f-000000000001';
  const destinationNode = { nodeName: 'b' };
  await client.migrations.start(
    id,
    { virtualMachine: { name: 'demo' }, destination: destinationNode },
    { signal },
  );
  const [last] = (await Array.fromAsync(followMigration(client, id, { signal }))).slice(-1);
  assert.equal(
    last?.status?.phase,
    MigrationPhase.MIGRATION_PHASE_COMPLETED,
    last?.status?.message,
  );
  await destination.waitFor(
    'The check of memory and disk',
    PATIENCE_MS,
    () => checkMemory(destination) === 'verified' && checkDisk(destination) === 'verified',
    signal,
  );
  assert.notEqual(await ownerOfQemu(b), 0);
});

/** Whom the node's only QEMU runs as. */
async function ownerOfQemu(node: LabNode): Promise<number> {
  const qemu = node.processes().find(({ command }) => command[0]?.includes('qemu-system'));
  assert.ok(qemu);
  const status = await readFile(`/proc/${qemu.pid}/status`, 'utf8');
  return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
}
