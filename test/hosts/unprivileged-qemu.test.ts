import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
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
import { MigrationPhase, VirtualMachinePhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { followMigration } from '../../src/client/watches.ts';
import { AgentError } from '../../src/core/errors.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';

// As Debian's package has it. QEMU then may make its socket only where it was given a folder.
const QEMU_USER = 'libvirt-qemu';
const PATIENCE_MS = 60_000;
// Each node's own; as root, whoever runs the agent, sees all of it.
const FOLDER = '/run/vm';
const IMAGE = `${FOLDER}/web.raw`;

test('nodes whose QEMU does not run as root', async (context) => {
  await using lab = await Lab.create({ nodes: ['a', 'b'], qemuUser: QEMU_USER }, context.signal);
  await lab.startAgents({ accelerator: 'tcg' }, context.signal);
  await context.test(
    'name an image that its user cannot reach, before and at the deed',
    ({ signal }) => expectClosed(lab, signal),
  );
  await context.test('exchange VMs', ({ signal }) => expectMoves(lab, signal));
});

async function expectMoves(lab: Lab, signal: AbortSignal): Promise<void> {
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

  const id = randomUUID();
  await client.migrations.start(id, toB('demo'), { signal });
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
}

/** The VMs that it makes are gone afterwards. */
async function expectClosed(lab: Lab, signal: AbortSignal): Promise<void> {
  const [a, b] = [lab.node('a'), lab.node('b')];
  for (const node of lab.nodes) {
    await node.run(['mkdir', FOLDER], signal);
    await node.run(['truncate', '--size=1M', IMAGE], signal);
    await node.run(['chown', QEMU_USER, IMAGE], signal);
  }
  using client = await connectAgent(a);
  await client.vms.create(vm('web'), { signal });

  await a.run(['chmod', '700', FOLDER], signal);
  const before = await refusalOf(client.vms.create(vm('other'), { signal, dryRun: true }));
  assert.equal(before.reason, 'IMAGE_NOT_READABLE');
  assert.match(before.message, /runs as user libvirt-qemu .*: \/run\/vm is closed to that user/);

  const planned = await refusalOf(client.vms.start({ name: 'web' }, { signal, dryRun: true }));
  const atTheDeed = await refusalOf(client.vms.start({ name: 'web' }, { signal }));
  assert.equal(planned.message, atTheDeed.message);
  assert.equal(atTheDeed.reason, 'IMAGE_NOT_READABLE');
  assert.match(atTheDeed.message, /^Cannot start VM web: .*\/run\/vm is closed to that user/);
  const { status } = await client.vms.get({ name: 'web' }, { signal });
  assert.equal(status?.phase, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED);
  // libvirt was not even asked; whoever comes next sees why it would not start.
  assert.equal(status.reason, 'NeverStarted');
  const startable = status.conditions.find(({ type }) => type === 'Startable');
  assert.deepEqual(
    [startable?.reason, startable?.message],
    ['ImageNotReadable', atTheDeed.message],
  );

  await a.run(['chmod', '755', FOLDER], signal);
  await client.vms.start({ name: 'web' }, { signal });
  // Closed where it is to go to.
  await b.run(['chmod', '700', FOLDER], signal);
  const blockers = (await client.migrations.plan(toB('web'), { signal })).blockers;
  const closed = blockers.find(({ reason }) => reason === 'IMAGE_NOT_READABLE');
  assert.match(closed?.message ?? JSON.stringify(blockers), /\/run\/vm is closed to that user/);
  const moved = await refusalOf(client.migrations.start(randomUUID(), toB('web'), { signal }));
  assert.ok(closed !== undefined && moved.message.includes(closed.message), moved.message);
  await client.vms.delete({ name: 'web' }, { signal, force: true });
}

function vm(name: string) {
  const volume = {
    name: 'root',
    format: 'raw',
    source: { file: { path: IMAGE } },
    cache: 'writeback',
    shared: true,
  };
  const machine = { resources: { cpu: '1', memory: '64Mi' }, volumes: [volume] };
  const spec = { runStrategy: 'Manual', template: { spec: machine } };
  return toVirtualMachineMessage(parseVirtualMachine({ metadata: { name }, spec }));
}

async function refusalOf(attempt: Promise<unknown>): Promise<AgentError> {
  const error: unknown = await attempt.then(
    () => assert.fail('It was done'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AgentError, String(error));
  return error;
}

function toB(name: string) {
  return { virtualMachine: { name }, destination: { nodeName: 'b' } };
}

/** Whom the node's only QEMU runs as. */
async function ownerOfQemu(node: LabNode): Promise<number> {
  const qemu = node.processes().find(({ command }) => command[0]?.includes('qemu-system'));
  assert.ok(qemu);
  const status = await readFile(`/proc/${qemu.pid}/status`, 'utf8');
  return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
}
