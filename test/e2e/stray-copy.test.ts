import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { TwoNodes } from './two-nodes.ts';

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
  await vms.delete({ name: vm.name }, { signal, unownedCopy: true });

  const there = await nodes.client('b').vms.get({ name: vm.name }, { signal });
  assert.ok(!there.status?.conditions.some(({ type }) => type === 'StrayCopy'));
  await vm.expectOnlyAt(b, 2n, signal);
});

async function hostUuidOf(node: LabNode, signal: AbortSignal): Promise<string | undefined> {
  const capabilities = await node.libvirt.virsh(['capabilities'], signal);
  return /<uuid>([^<]+)<\/uuid>/.exec(capabilities)?.[1];
}
