import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf } from './one-node.ts';

test('a created VM runs, is owned and holds no lock', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const vm = await node.create(request);
  assert.equal(vm.phase, 'running');
  assert.deepEqual([vm.definition.uid, vm.definition.ownershipEpoch], [request.uid, 1]);
  assert.equal((await node.findOwner(request.uid ?? ''))?.ownershipEpoch, 1);
  node.assertFree(request.uid ?? '', 'test/web');
});

test('a VM that shall be stopped is not started', async () => {
  await using node = await OneNode.open();
  const vm = await node.create(newRequest('web', { powerState: 'stopped' }));
  assert.equal(vm.phase, 'stopped');
});

for (const method of ['define', 'start'] as const) {
  test(`a VM whose ${method} fails leaves nothing`, async () => {
    await using node = await OneNode.open();
    const request = newRequest();
    node.hypervisor.fail(method, new AgentError('HYPERVISOR_FAILURE', 'no'));
    await assert.rejects(node.create(request), { reason: 'HYPERVISOR_FAILURE' });
    await node.assertNothingOf(request);
    assert.equal((await node.create(request)).phase, 'running');
  });

  test(`a VM whose creation is aborted in ${method} leaves nothing`, async () => {
    await using node = await OneNode.open();
    const request = newRequest();
    const stop = new AbortController();
    node.hypervisor.block(method);
    const creating = node.create(request, { signal: stop.signal });
    const failed = assert.rejects(creating, { message: 'enough' });
    while (!node.hypervisor.calls.some((call) => call.startsWith(method))) {
      await new Promise(setImmediate);
    }
    stop.abort(new Error('enough'));
    await failed;
    await node.assertNothingOf(request);
  });
}

test('a VM that cannot work here is refused before anything is made', async () => {
  await using node = await OneNode.open();
  node.agent.validator.validate = () =>
    Promise.reject(new AgentError('IMAGE_NOT_FOUND', 'no image'));
  const request = newRequest();
  await assert.rejects(node.create(request), { reason: 'IMAGE_NOT_FOUND' });
  await node.assertNothingOf(request);
});

test('a machine type that QEMU does not have is refused, by a dry run too', async () => {
  await using node = await OneNode.open();
  const wish = newRequest();
  const request = { ...wish, spec: { ...wish.spec, machineType: 'pc-q35-99.9' } };
  for (const dryRun of [true, false]) {
    await assert.rejects(node.create(request, { dryRun }), {
      reason: 'FEATURE_NOT_SUPPORTED',
      violations: [
        {
          field: 'spec.machine_type',
          description:
            'is pc-q35-99.9, which QEMU 7.2.22 of this node does not have; leave it out or choose another node',
        },
      ],
    });
  }
  await node.assertNothingOf(request);
});

test('creating the same VM again answers with it, also when it could not be made any more', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const first = await node.create(request);
  await node.vms.shutdown(refOf(request), never);
  node.agent.validator.validate = () =>
    Promise.reject(new AgentError('IMAGE_NOT_FOUND', 'deleted since'));
  const again = await node.create(request);
  assert.equal(again.definition.uid, first.definition.uid);
  assert.equal(again.phase, 'stopped');
});

test('another VM of a name, or another spec of a uid, is refused', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request);
  const exists = { reason: 'VM_ALREADY_EXISTS' };
  await assert.rejects(node.create({ ...request, uid: randomUUID() }), exists);
  await assert.rejects(node.create({ ...request, uid: undefined }), exists);
  const cpu = { vcpus: 2, model: undefined };
  await assert.rejects(node.create({ ...request, spec: { ...request.spec, cpu } }), exists);
});

test('a VM of that uid that is not ours is left alone', async () => {
  await using node = await OneNode.open();
  const foreign = tinyVm({ name: 'theirs' });
  await node.hypervisor.domains.define(foreign, never);
  await node.hypervisor.domains.start(foreign.uid, never);
  node.hypervisor.addForeign(foreign.uid);
  const request = { ...newRequest(), uid: foreign.uid };
  await assert.rejects(node.create(request), { reason: 'VM_ALREADY_EXISTS' });
  assert.equal((await node.hypervisor.domains.find(foreign.uid, never))?.state, 'running');
  assert.equal(await node.findOwner(foreign.uid), undefined);
});

test('a VM of a name that the hypervisor has given to another is refused, and that one left alone', async () => {
  await using node = await OneNode.open();
  const foreign = tinyVm({ name: 'web' });
  await node.hypervisor.domains.define(foreign, never);
  node.hypervisor.addForeign(foreign.uid);
  const request = newRequest();
  await assert.rejects(node.create(request), { reason: 'VM_ALREADY_EXISTS' });
  await node.assertNothingOf(request);
  assert.notEqual(await node.hypervisor.domains.find(foreign.uid, never), undefined);
});

test('a dry run makes nothing', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  assert.equal((await node.create(request, { dryRun: true })).phase, 'pending');
  await node.assertNothingOf(request);
});

test('of two VMs of one name that are created side by side one wins', async () => {
  await using node = await OneNode.open();
  const requests = [newRequest(), newRequest()];
  const results = await Promise.allSettled(requests.map((request) => node.create(request)));
  const failures = results.filter((result) => result.status === 'rejected');
  assert.deepEqual(
    failures.map(({ reason }: { reason: AgentError }) => reason.reason),
    ['VM_BUSY'],
  );
  assert.equal(node.inventory.list(EVERYTHING).length, 1);
});

test('a name that belongs to a VM on its way here is not given away', async () => {
  await using node = await OneNode.open();
  const { namespace, name } = newRequest();
  node.capacity.keep({ vmUid: randomUUID(), namespace, name, memoryBytes: 1 });
  await assert.rejects(node.create(newRequest()), { reason: 'VM_BUSY' });
});

test('VMs are created and started as far as there is memory', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('one'));
  const off = newRequest('off', { powerState: 'stopped' });
  await node.create(off);
  const exceeded = { reason: 'NODE_CAPACITY_EXCEEDED' };
  await assert.rejects(node.create(newRequest('big', { memoryMib: 65 })), exceeded);
  await node.create(newRequest('two'));
  await assert.rejects(node.vms.start(refOf(off), never), exceeded);
  const { definition } = await node.vms.get(refOf(off), never);
  assert.deepEqual([definition.generation, definition.spec.powerState], [1, 'stopped']);
});

test('memory is promised once also while a VM is defined and not yet started', async () => {
  await using node = await OneNode.open();
  const goOn = node.hypervisor.block('start');
  const first = node.create(newRequest('one', { memoryMib: 100 }));
  while (!node.hypervisor.calls.some((call) => call.startsWith('start'))) {
    await new Promise(setImmediate);
  }
  await assert.rejects(node.create(newRequest('two', { memoryMib: 100 })), {
    reason: 'NODE_CAPACITY_EXCEEDED',
  });
  goOn();
  await first;
});

test('a VM that another node owns is not made again here', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.ownership.release({ ...request, uid: request.uid ?? '' }, 2, 'b');
  await assert.rejects(node.create(request), { reason: 'VM_NOT_OWNED' });
});
