import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationBlocker } from '../../../../src/agent/migration/migration.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import type { FileFacts } from '../../../../src/drivers/disk-probe.ts';
import type {
  HypervisorDisk,
  HypervisorImage,
} from '../../../../src/drivers/hypervisor-domains.ts';
import type { MigrationObstacle } from '../../../../src/drivers/hypervisor-jobs.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { LUN, never, ROOT, TwoNodes } from './two-nodes.ts';

const PATH = '/srv/images/web.qcow2';
const FACTS: FileFacts = {
  kind: 'file',
  name: 'web.qcow2',
  format: 'qcow2',
  sizeBytes: 2 ** 20,
  fileId: '6969:7',
};
const SECOND_PATH = '/srv/images/data.qcow2';
const SECOND: Volume = {
  name: 'data',
  kind: 'disk',
  cache: 'none',
  format: 'qcow2',
  shared: true,
  source: { file: { path: SECOND_PATH } },
};
const TRUST_ROOT = { trustedVolumes: ['root'] };

async function blockersOf(
  nodes: TwoNodes,
  changes: Partial<TwoNodes['spec']> = {},
): Promise<readonly MigrationBlocker[]> {
  const { migrations } = nodes.source.agent;
  return (await migrations.plan({ ...nodes.spec, ...changes }, never)).blockers;
}

/** The plan names one thing, in these words, and the deed refuses in the same; nothing has moved. */
async function assertRefused(
  nodes: TwoNodes,
  words: RegExp,
  changes: Partial<TwoNodes['spec']> = {},
): Promise<MigrationBlocker> {
  const [blocker, ...others] = await blockersOf(nodes, changes);
  assert.ok(blocker);
  assert.deepEqual(others, []);
  assert.match(blocker.message, words);
  await assert.rejects(nodes.start(changes), (error: AgentError) => {
    assert.equal(error.reason, blocker.reason);
    assert.equal(error.message, `Cannot migrate VM web: ${blocker.message}`);
    const { field } = error.violations[0] ?? {};
    assert.equal(field, blocker.subject === '' ? blocker.nodeName : blocker.subject);
    return true;
  });
  assert.equal(nodes.source.record(nodes.id), undefined);
  await nodes.assertRunsOn(nodes.source);
  return blocker;
}

async function assertMoves(
  nodes: TwoNodes,
  changes: Partial<TwoNodes['spec']> = {},
): Promise<void> {
  assert.deepEqual(await blockersOf(nodes, changes), []);
  await nodes.start(changes);
  const { phase, message } = await nodes.ended();
  assert.deepEqual({ phase, message }, { phase: 'completed', message: '' });
  await nodes.assertRunsOn(nodes.destination);
}

test('a VM moves with a disk that both nodes have on the same storage', async () => {
  using nodes = await TwoNodes.open();
  const { images } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(images, [
    {
      volume: 'root',
      path: PATH,
      verdict: 'same',
      message: 'both nodes have qcow2 file web.qcow2 of 1048576 bytes, number 7',
    },
  ]);
  await assertMoves(nodes);
});

test('a VM that is to go where it is is told that and nothing else', async () => {
  using nodes = await TwoNodes.open();
  await assertRefused(nodes, /^the VM is on that node already$/, { destinationNode: 'a' });
});

test('two files that are equal in path, size, format, number and device are told apart', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['a'], PATH, { storage: 'disk of a', facts: FACTS, device: 42 });
  nodes.storage.put(['b'], PATH, { storage: 'disk of b', facts: FACTS, device: 42 });
  const { reason, subject, nodeName } = await assertRefused(
    nodes,
    /web\.qcow2 is not the same on both nodes: node a has qcow2 file web\.qcow2 of 1048576 bytes, number 7, node b has another file, without the mark; mount the same storage under this path on both nodes$/,
  );
  assert.deepEqual(
    { reason, subject, nodeName },
    { reason: 'MIGRATION_BLOCKED', subject: 'spec.template.spec.volumes[0]', nodeName: 'b' },
  );
});

test('an image that was replaced while its VM runs is not taken for the one that it has open', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.replaced.add(`a:${PATH}`);
  const { nodeName } = await assertRefused(
    nodes,
    /^volume root: \/srv\/images\/web\.qcow2 is not the same .*: node a has not the file that the VM has open, .*virsh blockcopy test_web vda/,
    TRUST_ROOT,
  );
  assert.equal(nodeName, 'a');
});

test('one that was deleted while its VM runs is not to be put there anew', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.replaced.add(`a:${PATH}`);
  for (const node of ['a', 'b']) nodes.storage.remove(node, PATH);
  // What the destination would have put there is not what the VM has.
  nodes.destination.images.remove(PATH);
  const { nodeName } = await assertRefused(nodes, /virsh blockcopy test_web vda/);
  assert.equal(nodeName, 'a');
});

test('beside an image that was deleted under its VM, another that is missing there is told', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [ROOT, SECOND] });
  nodes.storage.replaced.add(`a:${PATH}`);
  nodes.storage.remove('b', SECOND_PATH);
  for (const path of [PATH, SECOND_PATH]) nodes.destination.images.remove(path);
  const blockers = await blockersOf(nodes);
  assert.ok(blockers.some(({ message }) => message.includes('virsh blockcopy test_web vda')));
  assert.ok(blockers.some(({ reason }) => reason === 'IMAGE_NOT_FOUND'));
});

test('what is certainly another image is refused also to somebody who trusts in it', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['b'], PATH, { storage: 'disk of b', facts: FACTS });
  await assertRefused(nodes, /is not the same on both nodes/, TRUST_ROOT);
});

test('one storage that the nodes number as different devices is the same', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['a'], PATH, { facts: FACTS, device: 42 });
  nodes.storage.put(['b'], PATH, { facts: FACTS, device: 43 });
  await assertMoves(nodes);
});

test('the node that exports a file system has numbers of its own', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['b'], PATH, { facts: { ...FACTS, fileId: 'ef53:12' } });
  await assertMoves(nodes);
});

for (const [what, facts] of Object.entries({
  name: { ...FACTS, name: 'old.qcow2' },
  format: { ...FACTS, format: 'raw' },
  size: { ...FACTS, sizeBytes: 2 ** 21 },
  number: { ...FACTS, fileId: '6969:8' },
} satisfies Record<string, FileFacts>)) {
  test(`another file in the same folder is told apart by its ${what}`, async () => {
    using nodes = await TwoNodes.open();
    nodes.storage.put(['b'], PATH, { facts });
    await assertRefused(
      nodes,
      /see to it that the path leads to one and the same on both nodes$/,
      TRUST_ROOT,
    );
  });
}

test('an image that the other node does not have is refused, with what it lacks', async () => {
  using nodes = await TwoNodes.open();
  const overlay = overlayOf('/run/only-on-a.s1');
  nodes.source.hypervisor.setDisks(nodes.vm.uid, [overlay]);
  nodes.storage.put(['a'], '/run/only-on-a.s1', { storage: 'a', facts: FACTS });
  await assertRefused(
    nodes,
    /^volume root: \/run\/only-on-a\.s1 is not the same .*node b has nothing; mount the same storage under this path there$/,
    TRUST_ROOT,
  );
});

test('a snapshot by hand on shared storage moves, by the files that are in use', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.setDisks(nodes.vm.uid, [overlayOf('/srv/images/web.s1')]);
  nodes.storage.put(['a', 'b'], '/srv/images/web.s1', { facts: { ...FACTS, name: 'web.s1' } });
  await assertMoves(nodes);
});

test('each image behind a disk is compared, and a copy of it is taken on the word of who asks', async () => {
  const { log, text } = recordedLog();
  using nodes = await TwoNodes.open({}, { log });
  const path = '/srv/golden/base.qcow2';
  nodes.source.hypervisor.setDisks(nodes.vm.uid, [overlayOf(PATH, path)]);
  nodes.storage.put(['a'], path, { storage: 'disk of a', facts: { ...FACTS, name: 'base.qcow2' } });
  nodes.storage.put(['b'], path, { storage: 'disk of b', facts: { ...FACTS, name: 'base.qcow2' } });
  await assertRefused(
    nodes,
    /^volume root: its backing image \/srv\/golden\/base\.qcow2 .*if that is a copy with the same content, migrate with --trust-shared root \(trust_shared\)$/,
  );
  assert.doesNotMatch(text(), /by the word of the caller/);
  await assertMoves(nodes, TRUST_ROOT);
  const logged = /.*by the word of the caller.*/.exec(text())?.[0] ?? '{}';
  const { requestedBy, paths } = JSON.parse(logged) as Record<string, unknown>;
  assert.deepEqual({ requestedBy, paths }, { requestedBy: 'tester', paths: [path] });
});

test('what cannot be found out is refused, and taken on the word of who asks', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['a', 'b'], PATH, { facts: FACTS, readOnlyOn: ['a'] });
  await assertRefused(
    nodes,
    /cannot be found out whether it is the same on both nodes, on node a: no file can be made beside it \(EROFS\); if you know that it is, migrate with --trust-shared root/,
  );
  await assertMoves(nodes, TRUST_ROOT);
});

test('what the other node keeps from its VMs is refused also to somebody who trusts in it', async () => {
  using nodes = await TwoNodes.open();
  const words =
    /^volume root: \/srv\/images\/web\.qcow2 cannot be used on node b: it is outside the folders/;
  nodes.storage.put(['b'], PATH, { refusedOn: ['b'], facts: FACTS });
  const { reason, nodeName } = await assertRefused(nodes, words, TRUST_ROOT);
  assert.deepEqual({ reason, nodeName }, { reason: 'IMAGE_NOT_ALLOWED', nodeName: 'b' });
  // Nor does it help that it cannot be compared.
  nodes.storage.put(['a'], PATH, { facts: FACTS, readOnlyOn: ['a'] });
  await assertRefused(nodes, words, TRUST_ROOT);
});

test('what the other node says of the spec is not said once more of the disk', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['b'], PATH, { refusedOn: ['b'], facts: FACTS });
  const field = 'spec.template.spec.volumes[0].source.file.path';
  nodes.destination.invalid = new AgentError('IMAGE_NOT_ALLOWED', `${field} is outside`, {
    violations: [{ field, description: 'is outside' }],
  });
  assert.deepEqual(
    (await blockersOf(nodes)).map(({ subject }) => subject),
    [field],
  );
});

test('an image that is missing there is said once, with what mends it for a VM that runs', async () => {
  using nodes = await TwoNodes.open();
  nodes.destination.images.remove(PATH);
  nodes.storage.remove('b', PATH);
  const { reason, subject, nodeName } = await assertRefused(
    nodes,
    /does not exist on this node; mount the storage that it is on under the same path here$/,
  );
  assert.deepEqual([reason, nodeName], ['IMAGE_NOT_FOUND', 'b']);
  assert.equal(subject, 'spec.template.spec.volumes[0].source.file.path');
});

test('one that is there by its path and not the same is told beside one that is missing', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [ROOT, SECOND] });
  const { destination, storage } = nodes;
  destination.images.remove(PATH);
  storage.remove('b', PATH);
  storage.put(['b'], SECOND_PATH, { storage: 'disk of b' });
  assert.deepEqual(
    (await blockersOf(nodes)).map(({ reason, subject }) => `${reason} ${subject}`),
    [
      'IMAGE_NOT_FOUND spec.template.spec.volumes[0].source.file.path',
      'MIGRATION_BLOCKED spec.template.spec.volumes[1]',
    ],
  );
});

test('beside what the own node keeps from its VMs nothing is made, and who knows may trust in it', async () => {
  using nodes = await TwoNodes.open();
  nodes.storage.put(['a'], PATH, { refusedOn: ['a'], facts: FACTS });
  await assertRefused(
    nodes,
    /cannot be found out whether it is the same on both nodes, on node a: it is outside the folders/,
  );
  await assertMoves(nodes, TRUST_ROOT);
});

test('a device that the other node does not let VMs have stays where it is', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [LUN] });
  const facts = { kind: 'block', deviceId: 'naa.lun0', sizeBytes: 2 ** 20 } as const;
  nodes.storage.put(['b'], '/dev/mapper/lun0', { refusedOn: ['b'], facts });
  await assertRefused(nodes, /\/dev\/mapper\/lun0 cannot be used on node b/, {
    trustedVolumes: ['lun'],
  });
});

test('an agent that is too old to compare images is no proof of anything', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.wire.onCall = (method) => {
    if (method === 'compareImages') throw new AgentError('PEER_INCOMPATIBLE', 'unknown method');
  };
  await assertRefused(nodes, /on node b: its agent is too old to compare images; upgrade it/);
  await assertMoves(nodes, TRUST_ROOT);
});

test('a VM without disks moves also to an agent that cannot compare images', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [] });
  nodes.source.wire.lostCalls.add('compareImages');
  await assertMoves(nodes);
});

test('storage that is no file or device needs somebody who knows', async () => {
  using nodes = await TwoNodes.open();
  const image = { kind: 'other', path: 'network rbd pool/web', format: 'raw' } as const;
  nodes.source.hypervisor.setDisks(nodes.vm.uid, [{ ...overlayOf(PATH), images: [image] }]);
  await assertRefused(nodes, /network rbd pool\/web: .*no file or block device of the node/);
  await assertMoves(nodes, TRUST_ROOT);
});

test('a block device is told by what it calls itself', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [LUN] });
  const facts = { kind: 'block', deviceId: 'naa.other', sizeBytes: 2 ** 20 } as const;
  const path = '/dev/mapper/lun0';
  nodes.storage.put(['b'], path, { storage: 'disk of b', facts });
  const trusted = { trustedVolumes: ['lun'] };
  await assertRefused(
    nodes,
    /node a has block device naa\.lun0, 1048576 bytes, node b has block device naa\.other/,
    trusted,
  );
  nodes.storage.put(['b'], path, { facts: { ...facts, deviceId: 'naa.lun0' } });
  await assertMoves(nodes);
});

test('a disk that was attached by hand counts, under its guest device', async () => {
  using nodes = await TwoNodes.open();
  const disks = [overlayOf(PATH), { ...overlayOf('/srv/b.raw'), name: 'vdb', target: 'vdb' }];
  nodes.source.hypervisor.setDisks(nodes.vm.uid, disks);
  nodes.storage.put(['a'], '/srv/b.raw', { facts: { ...FACTS, name: 'b.raw' } });
  const { subject } = await assertRefused(nodes, /^volume vdb: \/srv\/b\.raw is not the same/);
  assert.equal(subject, 'vdb');
});

test('a name to trust that is none of its volumes is refused', async () => {
  using nodes = await TwoNodes.open();
  const { reason } = await assertRefused(nodes, /no volume rot .*its volumes are: root$/, {
    trustedVolumes: ['rot'],
  });
  assert.equal(reason, 'INVALID_REQUEST');
});

test('a disk that is not called shared stays where it is, and may be called so while the VM runs', async () => {
  const local: Volume = { ...ROOT, shared: false };
  using nodes = await TwoNodes.open({}, { volumes: [local] });
  await assertRefused(nodes, /^volume root \(\/srv\/images\/web\.qcow2\) is not on shared storage/);
  const { spec } = nodes.vm;
  const template = { ...spec.template, spec: { ...spec.template.spec, volumes: [ROOT] } };
  await nodes.source.hypervisor.domains.define({ ...nodes.vm, spec: { ...spec, template } }, never);
  await assertMoves(nodes);
});

test('a cache that is never written out is refused, whatever the storage', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.setDisks(nodes.vm.uid, [{ ...overlayOf(PATH), cache: 'unsafe' }]);
  await assertRefused(nodes, /cache mode unsafe, .* change it to none or writeback/, TRUST_ROOT);
  for (const cache of ['none', 'writeback', 'writethrough', 'directsync']) {
    nodes.source.hypervisor.setDisks(nodes.vm.uid, [{ ...overlayOf(PATH), cache }]);
    assert.deepEqual(await blockersOf(nodes), []);
  }
});

const OBSTACLES: readonly (readonly [MigrationObstacle, RegExp])[] = [
  [{ kind: 'snapshots', count: 2 }, /^it has 2 snapshots, .*virsh snapshot-list test_web/],
  [{ kind: 'block-job', target: 'vda' }, /^its disk vda is being copied .*virsh blockjob test_web/],
  [{ kind: 'device', description: 'host device (pci)' }, /^it has a host device \(pci\)/],
  [{ kind: 'job' }, /^it is being saved, dumped or backed up/],
];
for (const [obstacle, words] of OBSTACLES) {
  test(`the plan knows what the hypervisor would refuse: ${obstacle.kind}`, async () => {
    using nodes = await TwoNodes.open();
    nodes.source.hypervisor.obstacles = [obstacle];
    await assertRefused(nodes, words);
    nodes.source.hypervisor.obstacles = [];
    await assertMoves(nodes);
  });
}

for (const [what, change] of Object.entries({
  'storage that is mounted': ({ storage }: TwoNodes) => {
    storage.put(['b'], PATH, { storage: 'empty mount point', facts: FACTS });
  },
  'a snapshot that is taken': ({ source, vm }: TwoNodes) => {
    source.hypervisor.setDisks(vm.uid, [overlayOf('/run/only-on-a.s1')]);
  },
})) {
  test(`between the plan and the deed ${what} stops it, in the words of the plan`, async () => {
    using nodes = await TwoNodes.open();
    nodes.storage.put(['a'], '/run/only-on-a.s1', { storage: 'a', facts: FACTS });
    nodes.source.wire.onCall = (method) => {
      if (method === 'prepare') change(nodes);
    };
    await nodes.start();
    const { phase, reason, message } = await nodes.ended();
    assert.deepEqual([phase, reason], ['failed', 'MIGRATION_BLOCKED']);
    const [blocker] = await blockersOf(nodes);
    assert.equal(message, `Cannot migrate VM web: ${blocker?.message}`);
    assert.ok(!nodes.source.hypervisor.calls.some((call) => call.startsWith('migrate')));
    await nodes.assertRunsOn(nodes.source);
  });
}

test('a disk that changes as it is handed over is not taken for the one that was compared', async () => {
  using nodes = await TwoNodes.open();
  const { hypervisor } = nodes.source;
  const migrate = hypervisor.jobs.migrate.bind(hypervisor.jobs);
  hypervisor.jobs.migrate = (uid, request, signal) => {
    hypervisor.setDisks(uid, [overlayOf('/srv/images/web.s1')]);
    return migrate(uid, request, signal);
  };
  await nodes.start();
  const { phase, reason } = await nodes.ended();
  assert.deepEqual([phase, reason], ['failed', 'MIGRATION_BLOCKED']);
  await nodes.assertRunsOn(nodes.source);
});

/** The disk root as a snapshot or an image behind it makes it. */
function overlayOf(...paths: readonly string[]): HypervisorDisk {
  const images = paths.map((path): HypervisorImage => ({ kind: 'file', path, format: 'qcow2' }));
  return { name: 'root', target: 'vda', readOnly: false, cache: 'none', images };
}
