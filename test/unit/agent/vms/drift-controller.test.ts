import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../../src/core/errors.ts';
import { pathOf, type Volume } from '../../../../src/core/resources/volume.ts';
import { until } from '../../../fixtures/until.ts';
import { apply, manifestOf } from './manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const ROOT: Volume = {
  name: 'root',
  kind: 'disk',
  format: 'raw',
  cache: 'none',
  source: { file: { path: '/images/root.raw' } },
};

async function withVm(options: Parameters<typeof newRequest>[1] = {}) {
  const node = await OneNode.open();
  const request = newRequest('web', options);
  const { definition } = await node.create(request);
  const uid = uidOf(request);
  node.agent.run();
  node.hypervisor.forgetCalls();
  const driftOf = async () => (await node.hypervisor.domains.find(uid, never))?.drift;
  const conditionOf = async () => {
    const { conditions } = await node.vms.get(refOf(request), never);
    return conditions.find(({ type }) => type === 'Drifted');
  };
  return { node, request, definition, uid, driftOf, conditionOf };
}

const definesOf = ({ hypervisor }: OneNode) =>
  hypervisor.calls.filter((call) => call.startsWith('define ')).length;

test('what somebody has changed of a definition is put back, and the run goes on', async () => {
  const { node, definition, uid, driftOf, conditionOf } = await withVm();
  await using _ = node;
  node.hypervisor.changeByHand(uid, 'memory');
  await until('it is put back', async () => (await driftOf())?.length === 0);
  const found = await node.hypervisor.domains.find(uid, never);
  assert.equal(found?.state, 'running');
  // Not another generation: nobody has asked for another spec.
  assert.deepEqual(found?.definition, definition);
  await until('nothing is said of it', async () => (await conditionOf()) === undefined);
});

test('who asks for something while it is put back is not refused for that', async () => {
  const { node, request, uid } = await withVm();
  await using _ = node;
  const goOn = node.hypervisor.block('define');
  node.hypervisor.changeByHand(uid, 'memory');
  await until('it is being put back', async () => node.locks.purposeOf(uid) !== undefined);
  const suspended = node.vms.suspend(refOf(request), never);
  goOn();
  assert.equal((await suspended).phase, 'paused');
});

test('who has waited for that goes by what the VM is then', async (context) => {
  const { node, request, uid } = await withVm({ runStrategy: 'Halted' });
  await using _ = node;
  const looking = node.locks.tryAcquire(uid, 'a look', { isByItself: true });
  const limits = context.mock.method(AbortSignal, 'timeout');
  const deleting = node.vms.delete(refOf(request), { force: false }, never);
  await until('it waits', () => limits.mock.calls.some(({ arguments: [ms] }) => ms === 2_000));
  await node.hypervisor.domains.start(uid, never);
  looking?.[Symbol.dispose]();
  // Before anything is done, and not by libvirt after half of it.
  await assert.rejects(deleting, { reason: 'VM_RUNNING', message: /shut it down first/ });
});

test('a running VM that was undefined from under its run is there when it has ended', async () => {
  const { node, request, uid, driftOf } = await withVm();
  await using _ = node;
  node.hypervisor.changeByHand(uid, 'persistence');
  await until('it is put back', async () => (await driftOf())?.length === 0);
  node.hypervisor.stopGuest(uid);
  await until('it is off', async () => {
    return (await node.vms.get(refOf(request), never)).phase === 'stopped';
  });
});

test('disks that were changed are left as they are and told', async () => {
  const { node, uid, conditionOf, driftOf } = await withVm();
  await using _ = node;
  node.hypervisor.changeByHand(uid, 'volumes');
  node.hypervisor.changeByHand(uid, 'memory');
  await until('it is told', async () => (await conditionOf())?.reason === 'DisksChanged');
  const { message } = (await conditionOf()) ?? {};
  // By its uid, as somebody may have renamed it too.
  assert.match(message ?? '', new RegExp(`volumes, memory.*virsh dumpxml --inactive ${uid}`));
  // Another VM is put back meanwhile, so this one would have been by now.
  const other = newRequest('other');
  await node.create(other);
  node.hypervisor.forgetCalls();
  node.hypervisor.changeByHand(uidOf(other), 'cpu');
  await until('the other is put back', () => Promise.resolve(definesOf(node) > 0));
  assert.deepEqual(
    node.hypervisor.calls.filter((call) => call === `define ${uid}`),
    [],
  );
  assert.deepEqual(await driftOf(), ['volumes', 'memory']);
});

test('disks that were attached or detached while it runs are named, and left as they are', async () => {
  const node = await OneNode.open();
  await using _ = node;
  for (const name of ['root', 'data']) node.images.add(`/srv/images/${name}.raw`);
  const request = newRequest('web', { runStrategy: 'Manual' });
  const volumes = ['root', 'data'].map((name) => ({
    name,
    kind: 'disk' as const,
    format: 'raw' as const,
    source: { file: { path: `/srv/images/${name}.raw` } },
  }));
  const machine = { ...request.spec.template.spec, volumes };
  const manifest = { ...request, spec: { ...request.spec, template: { spec: machine } } };
  await node.create(manifest as never);
  await node.vms.start(refOf(request), never);
  node.agent.run();
  const driftedOf = async () => {
    const { conditions } = await node.vms.get(refOf(request), never);
    return conditions.find(({ type }) => type === 'Drifted');
  };
  assert.equal(await driftedOf(), undefined);
  const uid = uidOf(request);
  const [root] = (await node.hypervisor.domains.find(uid, never))?.disks ?? [];
  assert.ok(root);
  const image = { kind: 'file', path: '/tmp/usb.img', format: 'raw' } as const;
  const usb = { name: 'vdb', target: 'vdb', readOnly: false, cache: 'none', images: [image] };
  node.hypervisor.setDisks(uid, [root, usb]);
  node.hypervisor.forgetCalls();
  assert.partialDeepStrictEqual(await driftedOf(), { status: 'true', reason: 'OtherDisks' });
  const { message } = (await driftedOf()) ?? {};
  assert.match(message ?? '', /attached: vdb \(\/tmp\/usb\.img\); detached: data\./);
  assert.equal(definesOf(node), 0);
  node.hypervisor.changeByHand(uid, 'volumes');
  await until('both are told', async () => (await driftedOf())?.reason === 'DisksChanged');
  assert.match((await driftedOf())?.message ?? '', /volumes \(attached: vdb .*detached: data\)/);
});

test('of a disk that somebody has changed only what the manifest says anew is taken', async () => {
  await using node = await OneNode.open();
  const plain = newRequest('web');
  const withRoot = (changes: Partial<Volume>) => {
    const volumes = [{ ...ROOT, ...changes }];
    const { template } = plain.spec;
    const spec = { ...plain.spec, template: { ...template, spec: { ...template.spec, volumes } } };
    return { ...plain, spec };
  };
  const overlay = { kind: 'file', path: '/images/root.s1', format: 'qcow2' } as const;
  node.images.add(pathOf(ROOT) ?? '', { format: 'raw' });
  node.images.add(overlay.path, { format: 'qcow2' });
  await node.create(withRoot({}));
  const uid = uidOf(plain);
  const [root] = (await node.hypervisor.domains.find(uid, never))?.disks ?? [];
  assert.ok(root !== undefined);
  node.hypervisor.setDisks(uid, [{ ...root, images: [overlay, ...root.images] }]);
  node.hypervisor.changeUnseen(uid, 'volumes');
  await assert.rejects(apply(node, withRoot({ shared: true })), (error) =>
    hasReason(error, 'VM_DISKS_CHANGED'),
  );
  const source = { file: { path: overlay.path } };
  const { outcome, vm } = await apply(node, withRoot({ format: 'qcow2', source }));
  assert.equal(outcome, 'changed');
  // It has that already.
  assert.deepEqual(vm.pendingChanges, []);
});

test('the disk of resources.disk that somebody has changed is taken out like a volume, and not put back', async () => {
  await using node = await OneNode.open();
  const resources = { cpu: '1', memory: '64Mi' };
  const plain = newRequest('web', { machine: { resources } });
  const sized = (disk: string) =>
    manifestOf(plain, { machine: { resources: { ...resources, disk } } });
  await apply(node, sized('10Gi'));
  const uid = uidOf(plain);
  const [root] = (await node.hypervisor.domains.find(uid, never))?.disks ?? [];
  assert.ok(root !== undefined);
  const overlay = { kind: 'file', path: '/images/root.s1', format: 'qcow2' } as const;
  node.hypervisor.setDisks(uid, [{ ...root, images: [overlay, ...root.images] }]);
  node.hypervisor.changeUnseen(uid, 'volumes');
  // The same disk in other words.
  await assert.rejects(apply(node, sized('10240Mi')), (error) =>
    hasReason(error, 'VM_DISKS_CHANGED'),
  );
  const { outcome, warnings } = await apply(node, manifestOf(plain));
  assert.equal(outcome, 'changed');
  assert.match(warnings.join(), /Volume root no longer has the disk/);
});

for (const isSeen of [true, false]) {
  const seen = isSeen ? '' : ', also where no listing knows yet';
  test(`a change that would put back disks which somebody has changed is refused${seen}`, async () => {
    const { node, request, uid, driftOf } = await withVm();
    await using _ = node;
    if (isSeen) node.hypervisor.changeByHand(uid, 'volumes');
    else node.hypervisor.changeUnseen(uid, 'volumes');
    const labelled = manifestOf(request, { metadata: { labels: { tier: 'front' } } });
    for (const dryRun of [true, false]) {
      await assert.rejects(apply(node, labelled, { dryRun }), (error) =>
        hasReason(error, 'VM_DISKS_CHANGED'),
      );
    }
    assert.deepEqual(await driftOf(), ['volumes']);
  });
}

test('a definition that cannot be put back is tried again, and named in the state of the controllers', async () => {
  const { node, uid, driftOf, conditionOf } = await withVm();
  await using _ = node;
  node.hypervisor.fail('define', new Error('the disk is full'), 2);
  node.hypervisor.changeByHand(uid, 'cpu');
  await until('it is told', async () => (await conditionOf())?.reason === 'DefinitionChanged');
  await until('it is put back at last', async () => (await driftOf())?.length === 0);
  const state = node.agent.reconciler.states().find(({ name }) => name === 'drift');
  assert.deepEqual([state?.retries, state?.lastError], [2, 'the disk is full']);
});

test('a copy that another node owns, or another host, is not put back', async () => {
  for (const owner of ['released', 'stray'] as const) {
    const { node, definition, uid, driftOf } = await withVm();
    await using _ = node;
    if (owner === 'released') await node.ownership.release(definition, 9, 'b');
    else {
      await node.ownership.restore(uid, undefined);
      const facts = { owner: '00000000-0000-4000-8000-000000000000' };
      await node.hypervisor.domains.setFacts(uid, facts, never);
    }
    node.hypervisor.changeByHand(uid, 'memory');
    const other = newRequest('other');
    await node.create(other);
    node.hypervisor.changeByHand(uidOf(other), 'cpu');
    await until('another is put back', () =>
      Promise.resolve(
        node.hypervisor.calls.filter((call) => call === `define ${uidOf(other)}`).length === 2,
      ),
    );
    assert.deepEqual(await driftOf(), ['memory'], owner);
  }
});

test('a VM that is being changed is put back once that has ended', async () => {
  const { node, uid, driftOf } = await withVm();
  await using _ = node;
  const lock = node.locks.tryAcquire(uid, 'apply');
  node.hypervisor.changeByHand(uid, 'memory');
  await until('it waits', () => {
    const state = node.agent.reconciler.states().find(({ name }) => name === 'drift');
    return Promise.resolve(state?.waiting === 1);
  });
  assert.deepEqual(await driftOf(), ['memory']);
  lock?.[Symbol.dispose]();
  await until('it is put back', async () => (await driftOf())?.length === 0);
});

test('whoever looks at one VM is told of disks that were changed without a word', async () => {
  const { node, request, uid } = await withVm();
  await using _ = node;
  node.hypervisor.changeUnseen(uid, 'volumes');
  const { conditions } = await node.vms.get(refOf(request), never);
  assert.equal(conditions.find(({ type }) => type === 'Drifted')?.reason, 'DisksChanged');
});
