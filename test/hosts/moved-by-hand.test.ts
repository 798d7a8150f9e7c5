import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { relay } from '../integration/lab/relay.ts';

/** As somebody does who knows virsh and not us; the definition stays at the source, off. */
const MIGRATE = ['migrate', '--live', '--p2p', '--persistent', '--unsafe'];

test('a VM that virsh has migrated is handed over by its owner, and what it has left is no VM any more', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  await using _libvirt = await relay(a.outside('run/by-hand.sock'), b.libvirt.socket);
  await using _memory = await relay(
    a.outside('run/by-hand-memory.sock'),
    b.outside('run/by-hand-memory.sock'),
  );
  const there = ['--desturi', 'qemu+unix:///system?socket=/run/by-hand.sock'];
  const memory = ['--migrateuri', 'unix:///run/by-hand-memory.sock'];
  await a.libvirt.virsh([...MIGRATE, vm.uid, ...there, ...memory], signal);

  const atB = async () => {
    const { virtualMachines } = await nodes.client('b').vms.list({}, { signal });
    return virtualMachines.find(({ metadata }) => metadata?.uid === vm.uid);
  };
  await waitUntil(
    'Node b owning the VM',
    PATIENCE_MS,
    async () => (await atB())?.status?.ownershipEpoch === 2n,
    signal,
  );
  const status = (await atB())?.status;
  assert.ok(!status?.conditions.some(({ type }) => type === 'StrayCopy'));
  assert.equal(await vm.state(b, signal), 'running');

  // The copy that virsh has left is stale: it is not started, and not taken for the VM.
  assert.equal(await vm.state(a, signal), 'shut off');
  const { vms } = nodes.client('a');
  assert.equal((await vms.get({ name: vm.name }, { signal })).status?.reason, 'StaleCopy');
  await assert.rejects(vms.start({ name: vm.name }, { signal }), { reason: 'VM_NOT_OWNED' });
  await assert.rejects(vms.delete({ name: vm.name }, { signal }), {
    reason: 'VM_NOT_OWNED',
    metadata: { vmId: vm.uid, owner: b.name },
  });
  await vms.delete({ name: vm.name }, { signal, unownedCopy: true });
  await vm.expectOnlyAt(b, 2n, signal);
  // And back, by those who own it now.
  await vm.moveFrom(b, signal);
  await vm.expectOnlyAt(a, 3n, signal);
});
