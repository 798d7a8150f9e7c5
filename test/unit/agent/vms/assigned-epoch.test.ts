import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

/** A node that has given a VM away to node b, with epoch 4. */
async function withVmThatLeft() {
  const node = await OneNode.open();
  const request = newRequest();
  const left = { ...refOf(request), uid: uidOf(request) };
  await node.ownership.release(left, 4, 'b');
  const owned = async () => {
    const known = await node.findOwner(left.uid);
    return { epoch: known?.ownershipEpoch, toNode: known?.left?.toNode };
  };
  return { node, request, left, owned };
}

test('a VM that has left comes back with a higher epoch, and with no other', async () => {
  const { node, request, left, owned } = await withVmThatLeft();
  await using _node = node;
  for (const ownershipEpoch of [undefined, 3, 4]) {
    await assert.rejects(node.create(request, { ownershipEpoch }), {
      reason: 'VM_NOT_OWNED',
      metadata: { vmId: left.uid, owner: 'b' },
      message: /epoch of at least 5$/,
    });
  }
  const { phase, definition } = await node.create(request, { ownershipEpoch: 5 });
  assert.deepEqual([phase, definition.ownershipEpoch], ['running', 5]);
  assert.deepEqual(await owned(), { epoch: 5, toNode: undefined });
  assert.equal(await node.vms.delete(left, { force: true }, never), 'deleted');
});

test('a VM that was deleted here is made again with any epoch but a lower one', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request, { ownershipEpoch: 7 });
  await node.vms.delete(refOf(request), { force: true }, never);
  await assert.rejects(node.create(request, { ownershipEpoch: 6 }), { reason: 'VM_NOT_OWNED' });
  const { definition } = await node.create(request, { ownershipEpoch: 7 });
  assert.equal(definition.ownershipEpoch, 7);
});

test('creating a VM again answers with it, but not with a higher epoch than it has', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request, { ownershipEpoch: 3 });
  for (const ownershipEpoch of [undefined, 2, 3]) {
    const { definition } = await node.create(request, { ownershipEpoch });
    assert.equal(definition.ownershipEpoch, 3);
  }
  await assert.rejects(node.create(request, { ownershipEpoch: 4 }), {
    reason: 'VM_ALREADY_EXISTS',
    message: /on this node with epoch 3/,
  });
});

for (const method of ['define', 'start'] as const) {
  test(`a VM that could not come back, as its ${method} failed, is still known to have left`, async () => {
    const { node, request, left, owned } = await withVmThatLeft();
    await using _node = node;
    node.hypervisor.fail(method, new AgentError('HYPERVISOR_FAILURE', 'no'));
    await assert.rejects(node.create(request, { ownershipEpoch: 5 }));
    assert.deepEqual(await owned(), { epoch: 4, toNode: 'b' });
    assert.ok(node.ownership.isStale(tinyVm({ uid: left.uid, ownershipEpoch: 3 })));
    assert.equal((await node.create(request, { ownershipEpoch: 5 })).phase, 'running');
  });
}

test('until a VM has come back it is known to have left', async () => {
  const { node, request, owned } = await withVmThatLeft();
  await using _node = node;
  const goOn = node.hypervisor.block('define');
  const creating = node.create(request, { ownershipEpoch: 5 });
  assert.deepEqual(await owned(), { epoch: 4, toNode: 'b' });
  goOn();
  await creating;
  assert.deepEqual(await owned(), { epoch: 5, toNode: undefined });
});

test('a stale copy is not what a repeated creation answers with, nor is it applied', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { runStrategy: 'Manual' });
  await node.create(request);
  await node.ownership.release({ ...refOf(request), uid: uidOf(request) }, 2, 'b');
  await assert.rejects(node.create(request), { reason: 'VM_NOT_OWNED' });
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  await assert.rejects(node.vms.apply(request, options, never), { reason: 'VM_NOT_OWNED' });
});
