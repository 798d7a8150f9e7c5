import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const FORCE = { force: true };
const UNOWNED_COPY = { force: false, unownedCopy: true };

async function withVm(name = 'web') {
  const node = await OneNode.open();
  const request = newRequest(name);
  await node.create(request);
  return { node, ref: refOf(request), uid: uidOf(request) };
}

test('deleting says whether the VM was deleted now, was before, or never was here', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  const erase = (changes = {}) => node.vms.delete({ ...ref, ...changes }, FORCE, never);
  assert.equal(await erase({ name: 'other' }), 'never-here');
  assert.equal(await erase({ uid }), 'deleted');
  assert.equal(await erase(), 'already-deleted');
  assert.equal(await erase({ uid }), 'already-deleted');
  assert.equal(await erase({ uid: randomUUID() }), 'never-here');
  assert.ok((await node.findOwner(uid))?.isDeleted, 'the next agent knows it too');
  await assert.rejects(node.vms.get(ref, never), {
    reason: 'VM_NOT_FOUND',
    message: /: it was deleted;/,
  });
});

test('deleting a VM again leaves another one alone that has its name by now', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  await node.vms.delete(ref, FORCE, never);
  const next = newRequest('web');
  await node.create(next);
  assert.equal(await node.vms.delete({ ...ref, uid }, FORCE, never), 'already-deleted');
  assert.equal((await node.vms.get(ref, never)).definition.uid, uidOf(next));
});

test('a VM is not said to be gone under a name that is not its own', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  await assert.rejects(node.vms.delete({ ...ref, name: 'wbe', uid }, FORCE, never), {
    reason: 'VM_UID_MISMATCH',
    message: /is that of VM test\/web$/,
  });
});

test('a VM that was deleted has its next epoch when it is made again', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request);
  await node.vms.delete(refOf(request), FORCE, never);
  assert.equal((await node.create(request)).definition.ownershipEpoch, 2);
  await node.vms.delete(refOf(request), FORCE, never);
  assert.equal(await node.vms.delete(refOf(request), FORCE, never), 'already-deleted');
});

test('a VM that somebody else has removed counts as deleted, and is not said to have been', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  await node.hypervisor.domains.destroy(uid, never);
  await node.hypervisor.domains.undefine(uid, never);
  await assert.rejects(node.vms.start(ref, never), {
    reason: 'VM_NOT_FOUND',
    message: /removed or moved by other means than this agent/,
  });
  assert.equal(await node.vms.delete(ref, FORCE, never), 'already-deleted');
});

test('of several VMs that had a name, the last one is meant', async () => {
  const { node, ref } = await withVm();
  await using _node = node;
  const left = { ...ref, uid: randomUUID() };
  await node.ownership.release(left, 2, 'b');
  await node.vms.delete(ref, FORCE, never);
  assert.equal(await node.vms.delete(ref, FORCE, never), 'already-deleted');
  await assert.rejects(node.vms.delete(left, FORCE, never), { reason: 'VM_NOT_OWNED' });
});

test('a VM that has left is said to be elsewhere also when another one has its name', async () => {
  const { node, ref } = await withVm();
  await using _node = node;
  const left = { ...ref, uid: randomUUID() };
  await node.ownership.release(left, 2, 'b');
  await assert.rejects(node.vms.get(left, never), {
    reason: 'VM_NOT_FOUND',
    metadata: { namespace: ref.namespace, name: ref.name, movedToNode: 'b' },
  });
});

test('whoever makes a VM that has the name of one that has left is told so', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.ownership.release({ ...refOf(request), uid: randomUUID() }, 2, 'b');
  const options = { dryRun: true, updateMask: undefined, generation: undefined };
  const { warnings } = await node.vms.apply(request, options, never);
  assert.deepEqual(warnings, ['A VM web has moved from here to node b; this is another one']);
});

for (const kind of ['stale', 'stray'] as const) {
  test(`a ${kind} copy of a VM that has moved is not taken for the VM when that shall be deleted`, async () => {
    await using node = await OneNode.open();
    const owner = kind === 'stray' ? randomUUID() : node.hypervisor.hostUuid;
    const ownershipEpoch = kind === 'stray' ? 2 : 1;
    const vm = tinyVm({ owner, ownershipEpoch });
    await node.ownership.release(vm, 2, 'b');
    await node.hypervisor.domains.define(vm, never);
    const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
    await assert.rejects(node.vms.delete(ref, FORCE, never), {
      reason: 'VM_NOT_OWNED',
      metadata: { vmId: vm.uid, owner: 'b' },
      message: /delete it there.*novactl vm delete test\/\S+ --unowned-copy/,
    });
    assert.notEqual(await node.hypervisor.domains.find(vm.uid, never), undefined);
    assert.equal(await node.vms.delete(ref, UNOWNED_COPY, never), 'deleted');
    assert.equal(await node.hypervisor.domains.find(vm.uid, never), undefined);
    await assert.rejects(node.vms.delete(ref, UNOWNED_COPY, never), { reason: 'VM_NOT_OWNED' });
  });
}

test('a VM that this node owns is not deleted as a copy', async () => {
  const { node, ref } = await withVm();
  await using _node = node;
  await assert.rejects(node.vms.delete(ref, UNOWNED_COPY, never), { reason: 'INVALID_REQUEST' });
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});
