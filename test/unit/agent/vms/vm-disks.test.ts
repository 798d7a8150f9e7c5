import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Peers } from '../../../../src/agent/migration/peers.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { DISK_FOLDER, never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const DATA = { name: 'data', size: '1Gi', kind: 'disk', cache: 'none' } as const;
const APPLY = { dryRun: false, updateMask: undefined, generation: undefined } as const;

const resourcesWith = (disk: string) => ({ cpu: '1', memory: '64Mi', disk });

function fileOf(request: WantedVm, volume: string, format = 'qcow2'): string {
  return `${DISK_FOLDER}/${uidOf(request)}-${volume}.${format}`;
}

/** The same VM with another machine. */
function withMachine(request: WantedVm, changes: Partial<Machine>): WantedVm {
  const { spec } = request;
  const machine = { ...spec.template.spec, ...changes };
  return { ...request, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}

async function nodeWith(machine: Partial<Machine>) {
  const node = await OneNode.open();
  const request = newRequest('web', { machine });
  await node.create(request);
  return { node, request, diskFiles: node.diskFiles };
}

void test('a VM gets the disks that it asks for by their size, and starts with them', async () => {
  const { node, request, diskFiles } = await nodeWith({
    resources: resourcesWith('10Gi'),
    volumes: [DATA, { ...DATA, name: 'raw', format: 'raw' }],
  });
  await using _ = node;
  const paths = [fileOf(request, 'root'), fileOf(request, 'data'), fileOf(request, 'raw', 'raw')];
  assert.deepEqual(diskFiles.paths, paths);
  const { state, volumes, drift } =
    (await node.hypervisor.domains.find(uidOf(request), never)) ?? {};
  assert.equal(state, 'running');
  assert.deepEqual(drift, []);
  assert.deepEqual(
    volumes?.map(({ name, path, format }) => [name, path, format]),
    [
      ['root', paths[0], 'qcow2'],
      ['data', paths[1], 'qcow2'],
      ['raw', paths[2], 'raw'],
    ],
  );
});

void test('the spec stays as it was written: a second apply of it changes nothing', async () => {
  const { node, request } = await nodeWith({ resources: resourcesWith('10Gi'), volumes: [DATA] });
  await using _ = node;
  const again = await node.vms.apply(request, APPLY, never);
  assert.equal(again.outcome, 'unchanged');
  assert.deepEqual(again.vm.definition.spec.template.spec.volumes, [DATA]);
});

void test('a dry run makes no disk, and says where there is less room than they may grow to', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { machine: { resources: resourcesWith('100Gi') } });
  node.diskFiles.room = 20 * 2 ** 30;
  const planned = await node.vms.apply(request, { ...APPLY, dryRun: true }, never);
  assert.match(planned.warnings.join(), /may grow to 100Gi, and \/srv\/disks has room for 20Gi/);
  assert.deepEqual(node.diskFiles.paths, []);
});

void test('a creation that fails leaves no disk', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { machine: { resources: resourcesWith('10Gi') } });
  node.hypervisor.fail('start', new Error('No'));
  await assert.rejects(node.create(request));
  assert.deepEqual(node.diskFiles.paths, []);
  await node.assertNothingOf(request);
});

void test('a full disk is told when the VM is made, and nothing of it is left', async () => {
  await using node = await OneNode.open();
  const request = newRequest('web', { machine: { resources: resourcesWith('10Gi') } });
  node.diskFiles.room = 0;
  await assert.rejects(node.create(request), { reason: 'STORAGE_FULL' });
  await node.assertNothingOf(request);
});

void test('a disk is made larger as its file while the VM is off, and by the hypervisor while it runs', async () => {
  const { node, request, diskFiles } = await nodeWith({ resources: resourcesWith('10Gi') });
  await using _ = node;
  const file = fileOf(request, 'root');
  const grow = (size: string) =>
    node.vms.apply(withMachine(request, { resources: resourcesWith(size) }), APPLY, never);
  const live = await grow('20Gi');
  assert.deepEqual(
    live.changes.map(({ field, effect }) => [field, effect]),
    [['spec.template.spec.resources.disk', 'now']],
  );
  assert.deepEqual(live.vm.pendingChanges, []);
  const { sizes } = node.hypervisor.devices;
  assert.deepEqual([...sizes], [[file, 20 * 2 ** 30]]);
  await node.vms.destroy(refOf(request), never);
  assert.equal((await grow('30Gi')).vm.definition.madeDisks['root']?.bytes, 30 * 2 ** 30);
  assert.equal(diskFiles.bytesOf(file), 30 * 2 ** 30);
  assert.equal(sizes.size, 1);
});

void test('a disk that could not be made larger is not said to be', async () => {
  const { node, request } = await nodeWith({ resources: resourcesWith('10Gi') });
  await using _ = node;
  node.hypervisor.fail('resizeDisk', new AgentError('STORAGE_FULL', 'No room'));
  const larger = withMachine(request, { resources: resourcesWith('20Gi') });
  await assert.rejects(node.vms.apply(larger, APPLY, never), { reason: 'STORAGE_FULL' });
  const { definition } = await node.vms.get(refOf(request), never);
  assert.deepEqual([definition.generation, definition.madeDisks['root']?.bytes], [1, 10 * 2 ** 30]);
});

void test('a disk that was made is not made smaller, and keeps its format', async () => {
  const { node, request } = await nodeWith({ resources: resourcesWith('10Gi'), volumes: [DATA] });
  await using _ = node;
  const [smaller, other] = [
    withMachine(request, { resources: resourcesWith('5Gi') }),
    withMachine(request, { volumes: [{ ...DATA, format: 'raw' }] }),
  ];
  await assert.rejects(node.vms.apply(smaller, { ...APPLY, dryRun: true }, never), {
    reason: 'INVALID_SPEC',
    message: /resources\.disk is 5Gi, and the disk .* has 10Gi: a disk is not made smaller/,
  });
  await assert.rejects(node.vms.apply(other, { ...APPLY, dryRun: true }, never), {
    reason: 'INVALID_SPEC',
    message: /volumes\[0\]\.format is raw, and the disk .* was made as qcow2/,
  });
});

void test('a volume that is taken out keeps its disk, and has it again when it is back', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  diskFiles.write(fileOf(request, 'data'));
  const without = await node.vms.apply(withMachine(request, { volumes: [] }), APPLY, never);
  assert.match(without.warnings.join(), /Volume data no longer has the disk .* it stays/);
  assert.deepEqual(diskFiles.paths, [fileOf(request, 'data')]);
  const back = await node.vms.apply(request, APPLY, never);
  assert.match(back.warnings.join(), /Volume data has the disk .* again, with what is on it/);
  await node.vms.delete(refOf(request), { force: true, disks: 'remove' }, never);
  assert.deepEqual(diskFiles.paths, []);
});

void test('deleting a VM keeps its disks, unless that is said', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  assert.match(
    node.vms.findKeptDisks(refOf(request)) ?? '',
    /stays: .*-data\.qcow2; another VM can/,
  );
  await node.vms.delete(refOf(request), { force: true }, never);
  assert.deepEqual(diskFiles.paths, [fileOf(request, 'data')]);
});

void test('a VM that is made anew by its uid finds the disk that was kept, and is told so', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  diskFiles.write(fileOf(request, 'data'));
  await node.vms.delete(refOf(request), { force: true }, never);
  const again = await node.vms.create(
    request,
    { dryRun: false, reservationId: undefined, ownershipEpoch: 9 },
    never,
  );
  assert.match(again.warnings.join(), /Volume data has the disk .* with what is on it/);
});

void test('disks that another VM names stay', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  const source = { file: { path: fileOf(request, 'data') } };
  const volumes = [{ ...DATA, size: undefined, source, format: 'qcow2' as const }];
  await node.vms.destroy(refOf(request), never);
  await node.create(newRequest('other', { runStrategy: 'Manual', machine: { volumes } }));
  const deleting = node.vms.delete(refOf(request), { force: true, disks: 'remove' }, never);
  await assert.rejects(deleting, { reason: 'IMAGE_IN_USE', message: /VM test\/other has .*-data/ });
  assert.equal(diskFiles.paths.length, 1);
  assert.notEqual(await node.hypervisor.domains.find(uidOf(request), never), undefined);
});

void test('what a definition says was made is not removed where its name is not that of a disk of the VM', async () => {
  const { node, request } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  const { domains } = node.hypervisor;
  const definition = (await domains.find(uidOf(request), never))?.definition;
  assert.ok(definition);
  const foreign = {
    path: `${DISK_FOLDER}/foreign.qcow2`,
    format: 'qcow2',
    bytes: 2 ** 30,
  } as const;
  await node.diskFiles.make({ ...foreign, owner: undefined }, never);
  await domains.define({ ...definition, madeDisks: { data: foreign } }, never);
  await node.vms.delete(refOf(request), { force: true, disks: 'remove' }, never);
  assert.ok(node.diskFiles.paths.includes(foreign.path));
});

void test('a VM whose disk has gone is not started, and the field that asks for it is named', async () => {
  const { node, request, diskFiles } = await nodeWith({ resources: resourcesWith('10Gi') });
  await using _ = node;
  await node.vms.destroy(refOf(request), never);
  await diskFiles.remove(fileOf(request, 'root'), never);
  await assert.rejects(node.vms.start(refOf(request), never), {
    reason: 'IMAGE_NOT_FOUND',
    message:
      /resources\.disk is .*-root\.qcow2, which does not exist on this node; it was made for this VM/,
  });
});

void test('of what has no VM here only what is not whole is removed: a disk was kept by somebody', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  const kept = `${DISK_FOLDER}/11111111-1111-4111-8111-111111111111-data.qcow2`;
  const disk = { format: 'qcow2', bytes: 2 ** 30, owner: undefined } as const;
  await diskFiles.make({ ...disk, path: kept }, never);
  await diskFiles.make({ ...disk, path: `${kept}.new` }, never);
  node.run();
  node.agent.run();
  await until('the half-made one is gone', () => !diskFiles.paths.includes(`${kept}.new`));
  assert.deepEqual(diskFiles.paths.toSorted(), [fileOf(request, 'data'), kept].toSorted());
});

void test("the disks of a copy that another node owns are nobody's here to delete, nor to tell of", async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  const { domains } = node.hypervisor;
  const ref = refOf(request);
  await node.vms.destroy(ref, never);
  const definition = (await domains.find(uidOf(request), never))?.definition;
  assert.ok(definition);
  await node.ownership.forget(definition);
  await domains.define({ ...definition, owner: '0d6d9b5e-4a0b-4c53-8f8c-0a2f3a1b5c99' }, never);
  await node.inventory.refresh(never);
  const deleting = node.vms.delete(ref, { force: true, disks: 'remove' }, never);
  await assert.rejects(deleting, { reason: 'VM_NOT_OWNED', message: /disks of the VM there/ });
  assert.equal(node.vms.findKeptDisks(ref), undefined);
  await node.vms.delete(ref, { force: true, unownedCopy: true }, never);
  assert.deepEqual(diskFiles.paths, [fileOf(request, 'data')]);
});

void test('disks that a domain of virsh has, or stands on, stay, and so do those that nobody can look at', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  const ref = refOf(request);
  const path = fileOf(request, 'data');
  const deleting = () => node.vms.delete(ref, { force: true, disks: 'remove' }, never);
  await node.vms.destroy(ref, never);
  const { domains } = node.hypervisor;
  const foreign = tinyVm();
  const overlay = '/srv/overlay.qcow2';
  node.images.add(overlay, { format: 'qcow2', behind: [path] });
  for (const has of [path, overlay]) {
    await domains.define(foreign, never);
    node.hypervisor.addForeign(foreign.uid);
    const disk = { name: 'vda', target: 'vda', readOnly: false, cache: 'none' } as const;
    const images = [{ kind: 'file', path: has, format: 'qcow2' }] as const;
    node.hypervisor.setDisks(foreign.uid, [{ ...disk, images }]);
    await assert.rejects(deleting(), { reason: 'IMAGE_IN_USE', message: /the domain .* has/ });
    await domains.undefine(foreign.uid, never);
  }
  const problem = { reason: 'IMAGE_UNREACHABLE', text: 'its storage does not answer' } as const;
  node.images.add(path, { format: 'qcow2', problem });
  await assert.rejects(deleting(), { reason: 'IMAGE_UNREACHABLE', message: /cannot be told/ });
  assert.deepEqual(diskFiles.paths, [path]);
});

void test('a volume may have the name of what every object has', async () => {
  const { node, request, diskFiles } = await nodeWith({
    volumes: [{ ...DATA, name: 'constructor' }],
  });
  await using _ = node;
  assert.deepEqual(diskFiles.paths, [fileOf(request, 'constructor')]);
});

void test('a volume that is put back without its disk is told so', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  await node.vms.apply(withMachine(request, { volumes: [] }), APPLY, never);
  await diskFiles.remove(fileOf(request, 'data'), never);
  const back = await node.vms.apply(request, { ...APPLY, dryRun: true }, never);
  assert.match(back.warnings.join(), /is to have the disk .* again, which is not there/);
});

void test('where other nodes may have the folder, what a creation has left stays', async () => {
  const { node, request, diskFiles } = await nodeWith({ volumes: [DATA] });
  await using _ = node;
  diskFiles.isShared = true;
  await node.vms.delete(refOf(request), { force: true, disks: 'remove-unused' }, never);
  assert.equal(diskFiles.paths.length, 1);
});

const nobody = () => assert.fail('nobody is asked');

void test('a disk that is made where no other node has it is told of where there are others, in the dry run too', async () => {
  const peers: Peers = {
    list: () => [{ nodeName: 'b', findVm: nobody } as never],
    find: nobody,
    visit: nobody,
  };
  await using node = await OneNode.open({ peers });
  const wish = { dryRun: true, reservationId: undefined, asksNodes: false };
  const migrationPolicy = { allowLiveMigration: true, compression: true, encrypted: true };
  const create = async (volume: object, allowLiveMigration = true) => {
    const request = newRequest('web', { machine: { volumes: [{ ...DATA, ...volume }] } });
    const policy = { ...migrationPolicy, allowLiveMigration };
    const wanted = { ...request, spec: { ...request.spec, migrationPolicy: policy } };
    return (await node.vms.create(wanted, wish, never)).warnings;
  };
  assert.match(
    (await create({})).join(),
    /^Volume data is made in \/srv\/disks, which this node alone has, .* images\.diskFolder .* shared: true/,
  );
  assert.deepEqual(await create({ shared: true }), []);
  assert.deepEqual(await create({}, false), []);
  node.diskFiles.isShared = true;
  assert.match(
    (await create({})).join(),
    /not said to be shared, .* if all nodes have that folder/,
  );
});
