import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

const PATIENCE_MS = 30_000;

test('a VM that has moved is owned by its new host, and a copy of its definition is not started elsewhere', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  await vm.moveFrom(a, signal);
  const xml = await b.libvirt.virsh(['dumpxml', '--inactive', vm.uid], signal);
  assert.equal(/ owner=["']([^"']+)/.exec(xml)?.[1], await hostUuidOf(b, signal));

  await a.run(['tee', '/run/copy.xml'], signal, { input: xml });
  await a.libvirt.virsh(['define', '/run/copy.xml'], signal);
  const { vms } = nodes.client('a');
  const { status } = await vms.get({ name: vm.name }, { signal });
  assert.equal(status?.reason, 'StrayCopy');
  await assert.rejects(vms.start({ name: vm.name }, { signal }), { reason: 'VM_NOT_OWNED' });
  await assert.rejects(vms.delete({ name: vm.name }, { signal }), {
    reason: 'VM_NOT_OWNED',
    metadata: { vmId: vm.uid, owner: b.name },
  });

  // Past the agent QEMU's lock of the disk holds, while the file system has locks between nodes.
  await assert.rejects(a.libvirt.virsh(['start', vm.uid], signal), /Failed to get "write" lock/);
  await a.run(['tee', '/run/copy.xml'], signal, { input: xml.replace(/<disk [^]*<\/disk>/, '') });
  await a.libvirt.virsh(['define', '/run/copy.xml'], signal);
  await a.libvirt.virsh(['start', vm.uid], signal);
  await waitUntil(
    'The second copy to lose its power',
    PATIENCE_MS,
    async () => (await stateAt(a, vm.uid, signal)) === 'shut off',
    signal,
  );
  assert.equal(await stateAt(b, vm.uid, signal), 'running');
  await vms.delete({ name: vm.name }, { signal, unownedCopy: true });

  const there = await nodes.client('b').vms.get({ name: vm.name }, { signal });
  assert.ok(!there.status?.conditions.some(({ type }) => type === 'StrayCopy'));
  await vm.expectOnlyAt(b, 2n, signal);
});

async function stateAt(node: LabNode, uid: string, signal: AbortSignal): Promise<string> {
  return (await node.libvirt.virsh(['domstate', uid], signal)).trim();
}

async function hostUuidOf(node: LabNode, signal: AbortSignal): Promise<string | undefined> {
  const capabilities = await node.libvirt.virsh(['capabilities'], signal);
  return /<uuid>([^<]+)<\/uuid>/.exec(capabilities)?.[1];
}
