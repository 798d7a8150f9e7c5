import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

test('a created VM runs, is owned and holds no lock', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const vm = await node.create(request);
  assert.equal(vm.phase, 'running');
  assert.deepEqual([vm.definition.uid, vm.definition.ownershipEpoch], [uidOf(request), 1]);
  assert.equal((await node.findOwner(uidOf(request)))?.ownershipEpoch, 1);
  node.assertFree(uidOf(request), 'test/web');
});

test('a creation waits for what the agent does with its uid by itself, and for nothing else', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const uid = uidOf(request);
  const looking = node.locks.tryAcquire(uid, 'removal of files', { isByItself: true });
  const creating = node.create(request);
  looking?.[Symbol.dispose]();
  assert.equal((await creating).phase, 'running');
  await node.vms.delete(refOf(request), { force: true }, never);
  using _other = node.locks.tryAcquire(uid, 'migration 1');
  await assert.rejects(node.create(request), { reason: 'VM_BUSY' });
});

test('a VM that shall be stopped is not started', async () => {
  await using node = await OneNode.open();
  const vm = await node.create(newRequest('web', { runStrategy: 'Halted' }));
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
    await until('it is on its way', () => called(node, method));
    stop.abort(new Error('enough'));
    await failed;
    await node.assertNothingOf(request);
  });
}

for (const method of ['define', 'start'] as const) {
  test(`a ${method} that was given up, and happens before it is undone, leaves nothing`, async () => {
    await using node = await OneNode.open();
    const request = newRequest();
    const land = node.hypervisor.late(method, 'aborted');
    const stop = new AbortController();
    const creating = node.create(request, { signal: stop.signal });
    const failed = assert.rejects(creating, { message: 'enough' });
    await until('it is on its way', () => called(node, method));
    // The undoing is held up until it has happened.
    const goOn = node.hypervisor.block('find');
    stop.abort(new Error('enough'));
    land();
    goOn();
    await failed;
    await node.assertNothingOf(request);
    assert.equal((await node.create(request)).phase, 'running');
  });
}

test('a start that happens while it is undone is undone too', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const land = node.hypervisor.late('start', 'aborted');
  const goOn = node.hypervisor.block('undefine');
  const stop = new AbortController();
  const failed = assert.rejects(node.create(request, { signal: stop.signal }), {
    message: 'enough',
  });
  await until('it is started', () => called(node, 'start'));
  stop.abort(new Error('enough'));
  await until('its power is cut', () => called(node, 'undefine'));
  land();
  const { domains } = node.hypervisor;
  assert.equal((await domains.find(uidOf(request), never))?.state, 'running');
  goOn();
  await failed;
  await node.assertNothingOf(request);
});

test('a VM that is defined after its creation was undone is ours, off, and can be deleted', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const land = node.hypervisor.late('define', 'timed-out');
  await assert.rejects(node.create(request), { reason: 'HYPERVISOR_TIMEOUT' });
  await node.assertNothingOf(request);
  land();
  await node.inventory.refresh(never);
  const vm = await node.vms.get(refOf(request), never);
  assert.equal(vm.phase, 'stopped');
  node.assertFree(uidOf(request), 'test/web');
  await node.vms.delete(refOf(request), { force: false }, never);
  await node.assertNothingOf(request);
});

test('a VM that is defined after its creation was undone is what a repeated request answers with', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const land = node.hypervisor.late('define', 'timed-out');
  await assert.rejects(node.create(request), { reason: 'HYPERVISOR_TIMEOUT' });
  land();
  const vm = await node.create(request);
  assert.deepEqual([vm.definition.uid, vm.phase], [uidOf(request), 'stopped']);
  assert.equal((await node.vms.start(refOf(request), never)).phase, 'running');
});

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
  const request = withMachine(wish, { machineType: 'pc-q35-99.9' });
  for (const dryRun of [true, false]) {
    await assert.rejects(node.create(request, { dryRun }), {
      reason: 'FEATURE_NOT_SUPPORTED',
      violations: [
        {
          field: 'spec.template.spec.machineType',
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
  await assert.rejects(node.create(withUid(request, randomUUID())), exists);
  await assert.rejects(node.create(withUid(request, undefined)), exists);
  const resources = { cpu: '2', memory: '64Mi' };
  await assert.rejects(node.create(withMachine(request, { resources })), exists);
});

test('a VM is not the same with other labels or annotations, and is to be applied', async () => {
  await using node = await OneNode.open();
  const wish = newRequest();
  const withMetadata = (change: Partial<WantedVm['metadata']>): WantedVm => ({
    ...wish,
    metadata: { ...wish.metadata, ...change },
  });
  const labels = { app: 'shop' };
  const annotations = { note: 'first' };
  await node.create(withMetadata({ labels, annotations }));
  assert.equal((await node.create(withMetadata({ labels, annotations }))).phase, 'running');
  for (const other of [{ labels }, { labels: { app: 'blog' }, annotations }]) {
    await assert.rejects(node.create(withMetadata(other)), {
      reason: 'VM_ALREADY_EXISTS',
      message: /labels or annotations or another spec; apply the manifest to change it$/,
    });
  }
});

test('a uid that another VM has is refused with that VM, by apply too', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request);
  const other = withUid(newRequest('shop'), uidOf(request));
  const taken = {
    reason: 'VM_ALREADY_EXISTS',
    message: `Cannot create VM shop: its uid belongs to VM test/web; leave the uid out or choose another`,
  };
  await assert.rejects(node.create(other), taken);
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  await assert.rejects(node.vms.apply(other, options, never), taken);
});

for (const kind of ['stale', 'stray'] as const) {
  test(`a name that only a ${kind} copy has is free after the command that the refusal names`, async () => {
    await using node = await OneNode.open();
    const request = newRequest();
    const owner = kind === 'stray' ? randomUUID() : node.hypervisor.hostUuid;
    const copy = tinyVm({ name: 'web', owner, ownershipEpoch: 1 });
    if (kind === 'stale') await node.ownership.release(copy, 2, 'b');
    await node.hypervisor.domains.define(copy, never);
    await assert.rejects(node.create(request), {
      reason: 'VM_ALREADY_EXISTS',
      message:
        /which this node does not own; delete this copy with novactl vm delete test\/web --unowned-copy first/,
    });
    const unownedCopy = { force: false, unownedCopy: true };
    await node.vms.delete(refOf(request), unownedCopy, never);
    assert.equal((await node.create(request)).phase, 'running');
  });
}

test('a VM of which only a stale copy is here is not made over that, nor to be changed there', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { runStrategy: 'Manual' });
  await node.create(request);
  await node.ownership.release({ ...refOf(request), uid: uidOf(request) }, 2, 'b');
  const other = withMachine(request, { resources: { cpu: '2', memory: '64Mi' } });
  await assert.rejects(node.create(other), {
    reason: 'VM_NOT_OWNED',
    message:
      /node b owns it .*use the VM there, and delete this copy with novactl vm delete test\/web --unowned-copy/,
  });
});

test('a VM of that uid that is not ours is left alone', async () => {
  await using node = await OneNode.open();
  const foreign = tinyVm({ name: 'theirs' });
  await node.hypervisor.domains.define(foreign, never);
  await node.hypervisor.domains.start(foreign.uid, never);
  node.hypervisor.addForeign(foreign.uid);
  const request = withUid(newRequest(), foreign.uid);
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
  for (const dryRun of [true, false]) {
    await assert.rejects(node.create(request, { dryRun }), {
      reason: 'VM_ALREADY_EXISTS',
      message: new RegExp(`name test_web that .*\\(${foreign.uid}\\); choose another name`),
    });
  }
  await node.assertNothingOf(request);
  assert.notEqual(await node.hypervisor.domains.find(foreign.uid, never), undefined);
});

test('a VM is not made over another of ours that somebody has renamed', async () => {
  await using node = await OneNode.open();
  const renamed = newRequest('web');
  await node.create(renamed);
  node.hypervisor.rename(uidOf(renamed), 'test_shop');
  const exists = { reason: 'VM_ALREADY_EXISTS', message: /test_shop that .*VM test\/web\)/ };
  await assert.rejects(node.create(newRequest('shop'), { dryRun: true }), exists);
  const again = await node.create(renamed);
  assert.equal(again.definition.name, 'web');
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
  const { namespace, name } = newRequest().metadata;
  node.capacity.keep({ vmUid: randomUUID(), namespace, name, amounts: { memory: 1 } });
  await assert.rejects(node.create(newRequest()), { reason: 'VM_BUSY' });
});

test('VMs are created and started as far as there is memory', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('one'));
  const off = newRequest('off', { runStrategy: 'Manual' });
  await node.create(off);
  const exceeded = { reason: 'NODE_CAPACITY_EXCEEDED' };
  await assert.rejects(node.create(newRequest('big', { memory: '65Mi' })), exceeded);
  await node.create(newRequest('two'));
  await assert.rejects(node.vms.start(refOf(off), never), exceeded);
  const { definition } = await node.vms.get(refOf(off), never);
  assert.deepEqual([definition.generation, definition.intent], [1, 'off']);
});

test('memory is promised once also while a VM is defined and not yet started', async () => {
  await using node = await OneNode.open();
  const goOn = node.hypervisor.block('start');
  const first = node.create(newRequest('one', { memory: '100Mi' }));
  await until('it is on its way', () => called(node, 'start'));
  await assert.rejects(node.create(newRequest('two', { memory: '100Mi' })), {
    reason: 'NODE_CAPACITY_EXCEEDED',
  });
  goOn();
  await first;
});

test('a VM that another node owns is not made again here', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  const { namespace, name } = request.metadata;
  await node.ownership.release({ uid: uidOf(request), namespace, name }, 2, 'b');
  await assert.rejects(node.create(request), { reason: 'VM_NOT_OWNED' });
});

function called({ hypervisor }: OneNode, method: string): boolean {
  return hypervisor.calls.some((call) => call.startsWith(`${method} `));
}

function withUid(request: WantedVm, uid: string | undefined): WantedVm {
  const { uid: _, ...metadata } = request.metadata;
  return { ...request, metadata: uid === undefined ? metadata : { ...metadata, uid } };
}

function withMachine({ metadata, spec }: WantedVm, changes: Partial<Machine>): WantedVm {
  const machine = { ...spec.template.spec, ...changes };
  return { metadata, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}
