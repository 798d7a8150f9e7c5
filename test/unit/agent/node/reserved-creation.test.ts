import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { nodeMemoryBytesOf } from '../../../../src/core/resources/machine-amounts.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

const SMALL_BYTES = nodeMemoryBytesOf(newRequest().spec.template.spec);
const RESERVATION = '6f9f5a54-6f0c-4b3e-9d0f-0b7f2f3c7a01';

/** A node of which a part is reserved for a VM. */
async function reserve(node: OneNode, request: WantedVm): Promise<void> {
  await node.inventory.refresh(never);
  const { namespace, name } = request.metadata;
  const machine = request.spec.template.spec;
  await node.agent.node.reserve({
    id: RESERVATION,
    vm: { namespace, name, uid: uidOf(request) },
    machine,
    ttlMs: 60_000,
  });
}

test('a VM uses its reservation up', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web');
  await reserve(node, request);
  await node.create(newRequest('db'));
  await assert.rejects(node.create(newRequest('third')), { reason: 'NODE_CAPACITY_EXCEEDED' });
  const vm = await node.create(request, { reservationId: RESERVATION });
  assert.equal(vm.phase, 'running');
  assert.deepEqual(node.agent.reservations.list(), []);
  assert.equal(node.capacity.allocated()['memory'], 2 * SMALL_BYTES);
});

test('a VM that could not be created, or was only tried, leaves its reservation', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web');
  await reserve(node, request);
  const reserved = { reservationId: RESERVATION };
  await node.create(request, { ...reserved, dryRun: true });
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'));
  await assert.rejects(node.create(request, reserved), { reason: 'HYPERVISOR_FAILURE' });
  assert.equal(node.agent.reservations.list().length, 1);
  assert.equal(node.capacity.allocated()['memory'], SMALL_BYTES);
  assert.equal((await node.create(request, reserved)).phase, 'running');
});

test('asking again for the VM that has used it up answers with it', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web');
  await reserve(node, request);
  const first = await node.create(request, { reservationId: RESERVATION });
  const again = await node.create(request, { reservationId: RESERVATION });
  assert.equal(again.definition.uid, first.definition.uid);
});

test("another VM gets neither the reservation nor its VM's name", async () => {
  await using node = await OneNode.open();
  const request = newRequest('web');
  await reserve(node, request);
  await assert.rejects(node.create(newRequest('db'), { reservationId: RESERVATION }), {
    reason: 'RESERVATION_NOT_FOUND',
  });
  await assert.rejects(node.create(newRequest('web')), { reason: 'VM_BUSY' });
  assert.equal(node.agent.reservations.list().length, 1);
});

test('a cordoned node starts the VMs that are here, and takes a new one only if it stays off', async () => {
  await using node = await OneNode.open();
  const here = newRequest('here', { runStrategy: 'Manual' });
  await node.create(here);
  await node.agent.cordon.update({ cordon: true, cordonReason: 'new disks' }, undefined);
  await assert.rejects(node.create(newRequest('web')), { reason: 'NODE_CORDONED' });
  const off = await node.create(newRequest('off', { runStrategy: 'Halted' }));
  assert.equal(off.phase, 'stopped');
  assert.equal((await node.vms.start(refOf(here), never)).phase, 'running');
});

test('a VM is not created on a node that is cordoned while it is checked, unless it stays off', async () => {
  await using node = await OneNode.open();
  const { validator } = node.agent;
  const validate = validator.validate.bind(validator);
  validator.validate = async (...check) => {
    await node.agent.cordon.update({ cordon: true }, undefined);
    return await validate(...check);
  };
  const open = () => node.agent.cordon.update({ cordon: false }, undefined);
  const request = newRequest('web');
  await node.inventory.refresh(never);
  await assert.rejects(node.create(request), { reason: 'NODE_CORDONED' });
  await node.assertNothingOf(request);
  await open();
  await assert.rejects(node.create(request, { dryRun: true }), { reason: 'NODE_CORDONED' });
  await open();
  assert.equal((await node.create(newRequest('off', { runStrategy: 'Halted' }))).phase, 'stopped');
});
