import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { ImageSource } from '../../../../src/core/resources/image-source.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { fakeQcow2 } from '../../../fakes/fake-image-fetcher.ts';
import { until } from '../../../fixtures/until.ts';
import { DISK_FOLDER, never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';

const URL_OF_IMAGE = 'https://images.example/debian.qcow2';
const GIB = 2 ** 30;
const APPLY = { updateMask: undefined, generation: undefined } as const;

const isDefine = (call: string) => call.startsWith('define ');
const digestOf = (content: Buffer) => createHash('sha256').update(content).digest('hex');

function requestWith(
  image: Partial<ImageSource> = {},
  { name = 'web', disk }: { readonly name?: string; readonly disk?: string } = {},
): WantedVm {
  const resources = { cpu: '1', memory: '64Mi', ...(disk === undefined ? {} : { disk }) };
  return newRequest(name, { machine: { resources, image: { source: URL_OF_IMAGE, ...image } } });
}

/** A node, and somebody who asks for operations of it. */
async function nodeWithImage(content = fakeQcow2(2 * GIB), cacheBytes = 2 ** 36) {
  const node = await OneNode.open({ memoryVms: 6, cacheBytes });
  node.fetcher.contents.set(URL_OF_IMAGE, { content, version: 'etag:"1"' });
  node.agent.run();
  const { operations } = node.agent;
  const begin = async (request: WantedVm, kind: 'create' | 'apply' = 'create') => {
    const { namespace, name } = request.metadata;
    const vm = { namespace, name, uid: undefined };
    const parameters = { manifest: request, reservationId: undefined };
    const asked = { id: randomUUID(), kind, vm, parameters, requestedBy: 'tester' };
    return (await operations.submit(asked, never)).operation;
  };
  const ended = async (id: string) => {
    await until('it ends', async () => hasEnded(await operations.get(id)));
    return await operations.get(id);
  };
  const make = async (request: WantedVm) => await ended((await begin(request)).id);
  const diskOf = async (request: WantedVm) =>
    (await node.hypervisor.domains.find(uidOf(request), never))?.definition?.madeDisks['root'];
  return { node, content, operations, begin, ended, make, diskOf };
}

test('a VM is made from an image: its disk stands on it, and its digest stays known', async () => {
  const { node, content, make, diskOf } = await nodeWithImage();
  await using _node = node;
  const request = requestWith({}, { disk: '10Gi' });
  assert.equal((await make(request)).state, 'succeeded');
  const digest = digestOf(content);
  assert.deepEqual(await diskOf(request), {
    path: `${DISK_FOLDER}/${uidOf(request)}-root.qcow2`,
    format: 'qcow2',
    bytes: 10 * GIB,
    image: {
      source: URL_OF_IMAGE,
      digest: `sha256:${digest}`,
      path: `${DISK_FOLDER}/base/${digest}.qcow2`,
      format: 'qcow2',
      bytes: 2 * GIB,
    },
  });
});

test('without a size the disk is as large as the image; a second VM fetches nothing', async () => {
  const { node, make, diskOf } = await nodeWithImage();
  await using _node = node;
  const [first, second] = [requestWith(), requestWith({}, { name: 'db' })];
  await make(first);
  await make(second);
  assert.equal((await diskOf(first))?.bytes, 2 * GIB);
  assert.equal((await diskOf(second))?.bytes, 2 * GIB);
  assert.deepEqual(node.fetcher.fetched, [URL_OF_IMAGE]);
});

test('many VMs that want one image at once have it fetched once; one that is cancelled ends nothing for the others', async () => {
  const { node, operations, begin, ended } = await nodeWithImage();
  await using _node = node;
  const held = Promise.withResolvers<void>();
  node.fetcher.hold = held.promise;
  const names = ['a', 'b', 'c'];
  const begun = await Promise.all(names.map((name) => begin(requestWith({}, { name }))));
  for (const { id } of begun) {
    await until('it waits', async () => (await operations.get(id)).step === 'fetching-image');
  }
  const [first, ...others] = begun.map(({ id }) => id);
  assert.ok(first !== undefined);
  await until('it says how much has come', async () => {
    const { progress } = await operations.get(first);
    return progress?.message.startsWith(`Fetching ${URL_OF_IMAGE}: `) === true;
  });
  await operations.cancel(first, never);
  assert.equal((await ended(first)).state, 'cancelled');
  held.resolve();
  for (const id of others) assert.equal((await ended(id)).state, 'succeeded');
  assert.deepEqual(node.fetcher.fetched, [URL_OF_IMAGE]);
});

for (const kind of ['create', 'apply'] as const) {
  test(`the last one that is cancelled ends the download, by ${kind}`, async () => {
    const { node, operations, begin, ended } = await nodeWithImage();
    await using _node = node;
    const held = Promise.withResolvers<void>();
    node.fetcher.hold = held.promise;
    const { id } = await begin(requestWith(), kind);
    await until('it waits', async () => (await operations.get(id)).step === 'fetching-image');
    await operations.cancel(id, never);
    assert.equal((await ended(id)).state, 'cancelled');
    held.resolve();
    assert.deepEqual(node.fetcher.fetched, []);
    assert.deepEqual(await node.imageStore.list(never), []);
  });
}

test('what has come of a download that is given up takes room at once, and goes where there is none', async () => {
  for (const [cacheBytes, isLeft] of [
    [2 ** 36, true],
    [1, false],
  ] as const) {
    const { node, operations, begin, ended } = await nodeWithImage(undefined, cacheBytes);
    await using _node = node;
    const held = Promise.withResolvers<void>();
    node.fetcher.hold = held.promise;
    const { id } = await begin(requestWith());
    await until('it waits', async () => (await operations.get(id)).step === 'fetching-image');
    await operations.cancel(id, never);
    await ended(id);
    const parts = () => node.imageStore.paths.length;
    assert.equal(parts(), 1);
    let isTrimmed = false;
    const list = node.imageStore.listParts.bind(node.imageStore);
    node.imageStore.listParts = async (...asked) => {
      isTrimmed = true;
      return await list(...asked);
    };
    held.resolve();
    await until('it is looked at', () => isTrimmed && (isLeft || parts() === 0));
    assert.equal(parts(), isLeft ? 1 : 0);
  }
});

test('a change that is being made when it is cancelled ends as it does', async () => {
  const { node, operations, begin, ended, make } = await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  await make(request);
  const goOn = node.hypervisor.block('define');
  const changed = { ...request, metadata: { ...request.metadata, labels: { tier: 'web' } } };
  const { id } = await begin(changed, 'apply');
  await until('it changes', () => node.hypervisor.calls.filter(isDefine).length > 1);
  const cancelling = operations.cancel(id, never);
  goOn();
  await cancelling;
  assert.equal((await ended(id)).state, 'succeeded');
});

test('a disk that is smaller than its image is refused by the dry run, with both sizes', async () => {
  const { node } = await nodeWithImage();
  await using _node = node;
  await assert.rejects(node.create(requestWith({}, { disk: '1Gi' }), { dryRun: true }), {
    reason: 'INVALID_SPEC',
    message: /resources\.disk is 1Gi, and the image .* is a disk of 2Gi/,
  });
});

test('what is compressed is refused before it is fetched', async () => {
  const { node } = await nodeWithImage(Buffer.from('\u{fd}7zXZ\0rest', 'latin1'));
  await using _node = node;
  await assert.rejects(node.create(requestWith(), { dryRun: true }), {
    reason: 'IMAGE_INVALID',
    message: /compressed with xz.*xz -d/,
  });
  assert.deepEqual(node.fetcher.fetched, []);
});

test('another digest than was asked for makes nothing', async () => {
  const { node, make } = await nodeWithImage();
  await using _node = node;
  const request = requestWith({ digest: `sha256:${'0'.repeat(64)}` });
  const end = await make(request);
  assert.deepEqual([end.state, end.error?.reason], ['failed', 'IMAGE_DIGEST_MISMATCH']);
  await node.assertNothingOf(request);
});

test('pullPolicy: Never takes what is here, Always what there is now, IfNotPresent what it had', async () => {
  const { node, content, make, diskOf } = await nodeWithImage();
  await using _node = node;
  await assert.rejects(node.create(requestWith({ pullPolicy: 'Never' }), { dryRun: true }), {
    reason: 'IMAGE_NOT_FOUND',
    message: /pullPolicy is Never/,
  });
  await make(requestWith());
  const next = fakeQcow2(2 * GIB, 'version 2');
  node.fetcher.contents.set(URL_OF_IMAGE, { content: next, version: 'etag:"2"' });
  const [had, never_, always] = [
    requestWith({}, { name: 'had' }),
    requestWith({ pullPolicy: 'Never' }, { name: 'never' }),
    requestWith({ pullPolicy: 'Always' }, { name: 'always' }),
  ];
  for (const request of [had, never_, always]) {
    assert.equal((await make(request)).state, 'succeeded', request.metadata.name);
  }
  const digests = await Promise.all(
    [had, never_, always].map(async (request) => (await diskOf(request))?.image?.digest),
  );
  const [before, now] = [content, next].map((each) => `sha256:${digestOf(each)}`);
  assert.deepEqual(digests, [before, before, now]);
});

test('a disk full in mid-download ends the operation, and does not fill it again', async () => {
  const { node, make } = await nodeWithImage();
  await using _node = node;
  let tries = 0;
  node.fetcher.fetch = () => {
    tries += 1;
    return Promise.reject(new AgentError('STORAGE_FULL', 'Cannot fetch it: the disk is full'));
  };
  const end = await make(requestWith());
  assert.deepEqual([end.state, end.error?.reason, tries], ['failed', 'IMAGE_FETCH_FAILED', 1]);
});

test('Always asks once for a VM, however often its operation goes on', async () => {
  const { node, content, make } = await nodeWithImage();
  await using _node = node;
  const other = 'https://images.example/data.qcow2';
  node.fetcher.contents.set(URL_OF_IMAGE, { content });
  node.fetcher.contents.set(other, { content: fakeQcow2(GIB, 'data') });
  const request = requestWith({ pullPolicy: 'Always' });
  const machine = request.spec.template.spec;
  const data = { name: 'data', kind: 'disk', cache: 'none' } as const;
  const image = { source: other, pullPolicy: 'Always' } as const;
  const spec = { ...machine, volumes: [{ ...data, source: { image } }] };
  const wanted = { ...request, spec: { ...request.spec, template: { spec } } };
  assert.equal((await make(wanted)).state, 'succeeded');
  assert.deepEqual(node.fetcher.fetched, [URL_OF_IMAGE, other]);
});

test('a dry run says nothing of a disk that is still to be made', async () => {
  const { node, make } = await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  await make(request);
  const other = 'https://images.example/data.qcow2';
  node.fetcher.contents.set(other, { content: fakeQcow2(GIB, 'data') });
  const data = { name: 'data', kind: 'disk', cache: 'none' } as const;
  const spec = {
    ...request.spec.template.spec,
    volumes: [{ ...data, source: { image: { source: other } } }],
  };
  const wanted = { ...request, spec: { ...request.spec, template: { spec } } };
  const planned = await node.vms.apply(wanted, { ...APPLY, dryRun: true }, never);
  assert.deepEqual(planned.warnings, []);
});

test('an image that a manifest names later is not used for a disk that is there, and that is said', async () => {
  const { node, make, diskOf } = await nodeWithImage();
  await using _node = node;
  const request = requestWith();
  await make(request);
  const disk = await diskOf(request);
  const other = requestWith({ source: 'https://images.example/other.qcow2' });
  const changed = { ...other, metadata: request.metadata };
  const planned = await node.vms.apply(changed, { ...APPLY, dryRun: true }, never);
  assert.match(planned.warnings.join(), /root keeps its disk, which was made from .*debian\.qcow2/);
  await node.vms.apply(changed, { ...APPLY, dryRun: false }, never);
  assert.deepEqual(await diskOf(request), disk);
  const again = await node.vms.apply(changed, { ...APPLY, dryRun: false }, never);
  assert.equal(again.outcome, 'unchanged');
});
