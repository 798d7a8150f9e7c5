import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, OneNode } from './one-node.ts';

const OTHER_HOST = randomUUID();

/** A definition that came here by other means than the agent's. */
async function withCopy(facts: Partial<VmDefinition>) {
  const node = await OneNode.open();
  const { domains } = node.hypervisor;
  const vm = tinyVm({ intent: 'on', ownershipEpoch: 3, ...facts });
  await domains.define(vm, never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  const stray = async () => {
    const { conditions } = await node.vms.get(ref, never);
    return conditions.find(({ type }) => type === 'StrayCopy')?.reason;
  };
  return { node, domains, vm, ref, stray };
}

test('a copy that another host owns is not started, says so and can be deleted', async () => {
  const { node, ref, vm, stray } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['failed', 'StrayCopy']);
  assert.equal(await stray(), 'OtherOwner');
  await assert.rejects(node.vms.start(ref, never), {
    reason: 'VM_NOT_OWNED',
    message: new RegExp(`host ${OTHER_HOST} owns it.*delete this definition`),
  });
  assert.ok(!node.hypervisor.calls.includes(`start ${vm.uid}`));
  await node.vms.delete(ref, { force: false }, never);
  assert.equal(await node.hypervisor.domains.find(vm.uid, never), undefined);
});

test('a VM that runs here although another host owns it is only reported', async () => {
  const { node, ref, vm, domains, stray } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await domains.start(vm.uid, never);
  node.run();
  assert.equal(await stray(), 'OtherOwner');
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
  assert.ok(!node.hypervisor.calls.includes(`destroy ${vm.uid}`));
  assert.equal((await node.vms.shutdown(ref, never)).reason, 'StrayCopy');
});

test('a copy that names no owner, or this host, is started', async () => {
  for (const isNamed of [true, false]) {
    const { node, ref, vm, domains, stray } = await withCopy({});
    await using _node = node;
    const owner = isNamed ? node.hypervisor.hostUuid : '';
    await domains.setFacts(vm.uid, { owner }, never);
    assert.equal((await node.vms.start(ref, never)).phase, 'running');
    assert.equal(await stray(), undefined);
  }
});

test('what this node is known to own it owns also after its host was given another UUID', async () => {
  const { node, ref, vm, domains } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await node.ownership.own(vm);
  assert.equal((await node.vms.start(ref, never)).phase, 'running');
  await node.vms.destroy(ref, never);
  await domains.setFacts(vm.uid, { ownershipEpoch: vm.ownershipEpoch + 1 }, never);
  await assert.rejects(node.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
});

test('a copy of what has left this node is no less a stray one', async () => {
  const { node, ref, vm } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await node.ownership.release(vm, vm.ownershipEpoch, 'b');
  await assert.rejects(node.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
});

test('nothing is said of copies before it is known which host this is', async () => {
  const { node, ref } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  node.hypervisor.fail('getInfo', new Error('not now'));
  await assert.rejects(node.vms.start(ref, never), { message: 'not now' });
  assert.equal((await node.vms.get(ref, never)).reason, 'StrayCopy');
});
