import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { type Migration, MigrationPhase, VirtualMachinePhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import type { VmCalls } from '../../src/client/vm-calls.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { countOpenFiles, expectNoMoreFiles } from './open-files.ts';

/** More than libvirtd has threads. */
const MANY = 24;
/** That are made at once. */
const MADE_AT_ONCE = 4;
/** As many as a node sends at once. */
const AT_ONCE = 12;
const OTHERS = 6;
const ALL = MANY + OTHERS;
const RUNNING = VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING;
const DISK_BYTES = 1024 ** 2;
/** A VM that has never touched its memory is sent within a second by any limit that is not as low. */
const BARELY = '16Kbps';
/** Fewer than one for each migration. */
const SPARE_FILES = 20;

const { MIGRATION_PHASE_PREPARING, MIGRATION_PHASE_COPYING } = MigrationPhase;
const { MIGRATION_PHASE_CANCELLED, MIGRATION_PHASE_COMPLETED } = MigrationPhase;

test('while more VMs are to move at once than libvirtd has threads everything else is answered, and none of them leaves anything behind', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const [here, there] = [nodes.client('a'), nodes.client('b')];
  const create = async (name: string): Promise<void> => {
    // Its firmware finds nothing to boot, and the VM idles.
    const disk = path.join(nodes.lab.plan.sharedImages, `${name}.img`);
    await writeFile(disk, '');
    await truncate(disk, DISK_BYTES);
    const root = { name: 'root', format: 'raw', shared: true, source: { file: { path: disk } } };
    const machine = { resources: { cpu: 1, memory: '64Mi' }, volumes: [root] };
    const manifest = {
      metadata: { name },
      spec: { runStrategy: 'Once', template: { spec: machine } },
    };
    await here.vms.create(toVirtualMachineMessage(parseVirtualMachine(manifest)), { signal });
  };
  const moving = Array.from({ length: MANY }, (_, index) => `moving-${index}`);
  const others = Array.from({ length: OTHERS }, (_, index) => `other-${index}`);
  const all = [...moving, ...others];
  for (let from = 0; from < ALL; from += MADE_AT_ONCE) {
    await Promise.all(all.slice(from, from + MADE_AT_ONCE).map(create));
  }
  await waitUntil(
    'All VMs to be seen running',
    PATIENCE_MS,
    async () => {
      const { virtualMachines } = await here.vms.list({}, { signal });
      return virtualMachines.filter(({ status }) => status?.phase === RUNNING).length === ALL;
    },
    signal,
  );
  const before = await countOpenFiles(nodes, signal);

  const migrateAll = async (bandwidth: string): Promise<readonly string[]> =>
    Promise.all(
      moving.map(async (name) => {
        const id = randomUUID();
        const spec = {
          virtualMachine: { name },
          destination: { nodeName: b.name, address: '' },
          limits: { bandwidth },
        };
        await here.migrations.start(id, spec, { signal });
        return id;
      }),
    );
  const lookAt = async (ids: readonly string[]): Promise<readonly Migration[]> =>
    Promise.all(ids.map((id) => here.migrations.get(id, { signal })));
  const inPhase = async (ids: readonly string[], phase: MigrationPhase): Promise<number> =>
    (await lookAt(ids)).filter(({ status }) => status?.phase === phase).length;
  const untilAllEnded = async (ids: readonly string[], phase: MigrationPhase): Promise<void> => {
    await waitUntil(
      'The end of all migrations',
      PATIENCE_MS,
      async () => (await lookAt(ids)).every(({ status }) => status?.endTime !== undefined),
      signal,
    );
    for (const { status } of await lookAt(ids)) assert.equal(status?.phase, phase, status?.message);
    await nodes.expectNothingLeft(signal);
  };

  const called = await migrateAll(BARELY);
  await waitUntil(
    'As many to copy as may',
    PATIENCE_MS,
    async () => (await inPhase(called, MIGRATION_PHASE_COPYING)) === AT_ONCE,
    signal,
  );
  await Promise.all(others.map((name) => useVm(here.vms, name, signal)));
  for (const name of moving) {
    const vm = await here.vms.get({ name }, { signal });
    assert.equal(vm.status?.ownershipEpoch, 1n);
  }
  const { virtualMachines } = await here.vms.list({}, { signal });
  assert.equal(virtualMachines.length, ALL);
  // All that was while they were under way.
  assert.equal(await inPhase(called, MIGRATION_PHASE_COPYING), AT_ONCE);
  assert.equal(await inPhase(called, MIGRATION_PHASE_PREPARING), MANY - AT_ONCE);

  await Promise.all(called.map((id) => here.migrations.cancel(id, { signal })));
  await untilAllEnded(called, MIGRATION_PHASE_CANCELLED);
  assert.deepEqual(await running(a, signal), [...moving, ...others].toSorted());
  assert.deepEqual(await running(b, signal), []);

  const moved = await migrateAll('');
  await untilAllEnded(moved, MIGRATION_PHASE_COMPLETED);
  assert.deepEqual(await running(a, signal), others);
  assert.deepEqual(await running(b, signal), moving.toSorted());
  assert.equal((await there.vms.list({}, { signal })).virtualMachines.length, MANY);
  await expectNoMoreFiles(nodes, before, SPARE_FILES, signal);
});

/** Asks libvirt for something in most of its ways. */
async function useVm(vms: VmCalls, name: string, signal: AbortSignal): Promise<void> {
  const ref = { name };
  await vms.suspend(ref, { signal });
  await vms.resume(ref, { signal });
  await vms.reset(ref, { signal });
  await vms.destroy(ref, { signal });
  await vms.start(ref, { signal });
  const { metadata, status } = await vms.get(ref, { signal });
  assert.equal(metadata?.name, name);
  assert.equal(status?.phase, RUNNING, status?.message);
}

/** By libvirt's word, without their namespace. */
async function running(node: LabNode, signal: AbortSignal): Promise<readonly string[]> {
  const names = await node.libvirt.virsh(['list', '--name'], signal);
  return names
    .split('\n')
    .map((name) => name.trim().replace(/^default_/, ''))
    .filter((name) => name !== '')
    .toSorted();
}
