import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { ImageSource } from '../../../../src/core/resources/image-source.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { fakeQcow2 } from '../../../fakes/fake-image-fetcher.ts';
import { until } from '../../../fixtures/until.ts';
import { DISK_FOLDER, never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';

const SOURCE = 'https://images.example/debian.qcow2?signed=secret';
const GIB = 2 ** 30;
const ROOT = { name: 'root', kind: 'disk', cache: 'none' } as const;
const RAW = { ...ROOT, format: 'raw' } as const;
const APPLY = { updateMask: undefined, generation: undefined } as const;

/** A VM of which a disk is a copy of an image. */
function requestWith(
  image: Partial<ImageSource> = {},
  { name = 'web', volumes = [RAW] as readonly Volume[] } = {},
): WantedVm {
  const machine = { image: { source: SOURCE, ...image }, volumes: [...volumes] };
  return newRequest(name, { machine });
}

/** A node with an image, whose copies are half done until `goOn` is called. */
async function nodeWithImage({ isHeld = true } = {}) {
  const node = await OneNode.open({ memoryVms: 6 });
  const content = fakeQcow2(2 * GIB);
  node.fetcher.contents.set(SOURCE, { content, version: 'etag:"1"' });
  const held = Promise.withResolvers<void>();
  if (isHeld) node.diskFiles.holdCopies = held.promise;
  node.agent.run();
  const { operations } = node.agent;
  const begin = async (request: WantedVm, kind: 'create' | 'apply' = 'create') => {
    const { namespace, name } = request.metadata;
    const vm = { namespace, name, uid: undefined };
    const parameters = { manifest: request, reservationId: undefined };
    const asked = { id: randomUUID(), kind, vm, parameters, requestedBy: 'tester' };
    return (await operations.submit(asked, never)).operation.id;
  };
  const ended = async (id: string) => {
    await until('it ends', async () => hasEnded(await operations.get(id)));
    return await operations.get(id);
  };
  const make = async (request: WantedVm) => await ended(await begin(request));
  const copying = async (id: string) =>
    await until(
      'it copies',
      async () => (await operations.get(id)).progress?.message.startsWith('Copying') === true,
    );
  const diskOf = async (request: WantedVm, volume = 'root') =>
    (await node.hypervisor.domains.find(uidOf(request), never))?.definition?.madeDisks[volume];
  const { diskFiles } = node;
  return { node, diskFiles, operations, begin, ended, make, copying, diskOf, goOn: held.resolve };
}

test('an image is copied beside everything else, and says how far it is', async () => {
  const { node, diskFiles, operations, begin, ended, copying, diskOf, goOn } =
    await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  const id = await begin(request);
  await copying(id);
  const { step, progress } = await operations.get(id);
  assert.equal(step, 'copying-image');
  const source = 'https://images.example/debian.qcow2?…';
  assert.equal(progress?.message, `Copying ${source} into the disk root: 1Gi of 2Gi`);
  assert.equal(progress?.fractionDone, 0.5);
  // Nothing is locked for it.
  await node.create(newRequest('other'));
  goOn();
  assert.equal((await ended(id)).state, 'succeeded');
  const disk = await diskOf(request);
  assert.deepEqual([disk?.format, disk?.bytes, disk?.image?.source], ['raw', 2 * GIB, SOURCE]);
  assert.deepEqual(diskFiles.paths, [`${DISK_FOLDER}/${uidOf(request)}-root.raw`]);
  assert.deepEqual((await operations.get(id)).warnings, []);
});

test('a full clone stands on nothing, and stays what it is where the manifest says nothing any more', async () => {
  const { node, make, diskOf } = await nodeWithImage({ isHeld: false });
  await using _node = node;
  const request = requestWith({ clone: 'full' }, { volumes: [ROOT] });
  assert.equal((await make(request)).state, 'succeeded');
  const disk = await diskOf(request);
  assert.deepEqual([disk?.format, disk?.image?.isCopied], ['qcow2', true]);
  const [image] = await node.imageStore.list(never);
  assert.deepEqual(image?.usedBy, []);
  const without = { ...requestWith({}, { volumes: [ROOT] }), metadata: request.metadata };
  await node.vms.apply(without, { ...APPLY, dryRun: false }, never);
  assert.deepEqual(await diskOf(request), disk);
  const thin = {
    ...requestWith({ clone: 'thin' }, { volumes: [ROOT] }),
    metadata: request.metadata,
  };
  await assert.rejects(node.vms.apply(thin, { ...APPLY, dryRun: true }, never), {
    reason: 'INVALID_SPEC',
    message: /spec\.image\.clone is thin, and the disk .* was made as a full clone/,
  });
});

test('a raw disk that is to stand on its image is refused', async () => {
  const { node } = await nodeWithImage();
  await using _node = node;
  await assert.rejects(node.create(requestWith({ clone: 'thin' }), { dryRun: true }), {
    reason: 'INVALID_SPEC',
    message: /volumes\[0\]\.format must be qcow2 or left out for a thin clone/,
  });
});

test('an encrypted full clone is refused as qcow2, and of an image that takes long to copy as raw', async () => {
  const { node, make } = await nodeWithImage({ isHeld: false });
  await using _node = node;
  node.nodeSecrets.put('key', 'a line of text');
  const encrypted = { ...ROOT, encryption: { secret: 'key' } } as const;
  const full = requestWith({ clone: 'full' }, { volumes: [encrypted] });
  await assert.rejects(node.create(full, { dryRun: true }), {
    reason: 'INVALID_SPEC',
    message: /volumes\[0\]\.format must be raw for a full clone that is encrypted/,
  });
  await make(requestWith());
  const list = node.imageStore.list.bind(node.imageStore);
  node.imageStore.list = async (signal) =>
    (await list(signal)).map((image) => ({ ...image, virtualBytes: 5 * GIB }));
  const raw = requestWith({}, { name: 'raw', volumes: [{ ...encrypted, format: 'raw' }] });
  await assert.rejects(node.create(raw, { dryRun: true }), {
    reason: 'NOT_SUPPORTED',
    message: /copied into an encrypted disk, .* of 4Gi at most/,
  });
});

for (const kind of ['create', 'apply'] as const) {
  test(`a copy that is cancelled by ${kind} leaves nothing, and the image`, async () => {
    const { node, diskFiles, operations, begin, ended, copying } = await nodeWithImage();
    await using _node = node;
    const request = requestWith();
    const id = await begin(request, kind);
    await copying(id);
    await operations.cancel(id, never);
    assert.equal((await ended(id)).state, 'cancelled');
    await until('nothing is left', () => diskFiles.paths.length === 0);
    await node.assertNothingOf(request);
    assert.equal((await node.imageStore.list(never)).length, 1);
  });
}

test('a change copies an image into the disk that it adds, and one that is cancelled leaves the VM as it was', async () => {
  const { node, diskFiles, operations, begin, ended, make, copying, diskOf, goOn } =
    await nodeWithImage();
  await using _node = node;
  const request = newRequest('web');
  await make(request);
  const data = { ...RAW, name: 'data', source: { image: { source: SOURCE } } } as const;
  const { spec } = request;
  const machine = { ...spec.template.spec, volumes: [data] };
  const wanted = { ...request, spec: { ...spec, template: { spec: machine } } };
  const first = await begin(wanted, 'apply');
  await copying(first);
  await operations.cancel(first, never);
  assert.equal((await ended(first)).state, 'cancelled');
  assert.equal(await diskOf(request, 'data'), undefined);
  await until('nothing is left', () => diskFiles.paths.length === 0);
  const second = await begin(wanted, 'apply');
  goOn();
  assert.equal((await ended(second)).state, 'succeeded');
  assert.deepEqual(diskFiles.paths, [(await diskOf(request, 'data'))?.path]);
});

test('a copy of a creation that comes to nothing is thrown away', async () => {
  const { node, diskFiles, begin, ended, copying, goOn } = await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  const id = await begin(request);
  await copying(id);
  node.hypervisor.fail('define', new AgentError('HYPERVISOR_FAILURE', 'libvirt says no'));
  goOn();
  assert.equal((await ended(id)).state, 'failed');
  await until('nothing is left', () => diskFiles.paths.length === 0);
});

test('no room ends the operation with STORAGE_FULL, and nothing fills the disk again', async () => {
  const { node, diskFiles, make } = await nodeWithImage({ isHeld: false });
  await using _node = node;
  let tries = 0;
  diskFiles.copy = () => {
    tries += 1;
    return Promise.reject(new AgentError('STORAGE_FULL', 'Cannot copy it: the disk is full'));
  };
  const end = await make(requestWith());
  assert.deepEqual([end.state, end.error?.reason, tries], ['failed', 'STORAGE_FULL', 1]);
});

test('two are copied at once, and who waits says so', async () => {
  const { node, operations, begin, ended, copying, goOn } = await nodeWithImage();
  await using _node = node;
  const ids: string[] = [];
  for (const name of ['a', 'b', 'c']) {
    const id = await begin(requestWith({}, { name }));
    ids.push(id);
    if (ids.length < 3) await copying(id);
  }
  await until('it waits', async () => {
    const { progress } = await operations.get(ids[2] ?? '');
    return progress?.message.startsWith('Waiting for other images to be copied') === true;
  });
  goOn();
  for (const id of ids) assert.equal((await ended(id)).state, 'succeeded');
});

test('what was copied of another content than the image has now is copied again', async () => {
  const { node, begin, ended, copying, diskOf, goOn } = await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  const id = await begin(request);
  await copying(id);
  const list = node.imageStore.list.bind(node.imageStore);
  node.imageStore.list = async (signal) =>
    (await list(signal)).map((image) => ({ ...image, virtualBytes: 3 * GIB }));
  goOn();
  assert.equal((await ended(id)).state, 'succeeded');
  assert.equal((await diskOf(request))?.bytes, 3 * GIB);
});
