import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { IncomingVm } from '../../../../src/agent/migration/migration.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Logger } from '../../../../src/core/logger.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, ROOT, type TestNode, TwoNodes } from './two-nodes.ts';

const USER_DATA = '#cloud-config\npassword: hunter2\n';

const open = () => TwoNodes.open({}, { userData: USER_DATA });

async function contentOn(node: TestNode, { vm }: TwoNodes): Promise<string> {
  const digest = vm.privateFiles['user-data'];
  assert.ok(digest);
  const content = await node.privateFiles.read(vm.uid, 'user-data', digest, never);
  return Buffer.from(content).toString('utf8');
}

async function hasFiles({ privateFiles }: TestNode): Promise<boolean> {
  return (await privateFiles.listVms(never)).length > 0;
}

/** What a node is sent about VMs that are to come. */
function recordSent({ agent }: TestNode): { readonly method: string; readonly vm: IncomingVm }[] {
  const sent: { method: string; vm: IncomingVm }[] = [];
  const { incoming } = agent;
  const check = incoming.check.bind(incoming);
  incoming.check = (vm, ...rest) => {
    sent.push({ method: 'check', vm });
    return check(vm, ...rest);
  };
  const prepare = incoming.prepare.bind(incoming);
  incoming.prepare = (request, ...rest) => {
    sent.push({ method: 'prepare', vm: request.incoming });
    return prepare(request, ...rest);
  };
  return sent;
}

test('the private files of a VM go with it, and are gone where it was', async () => {
  using nodes = await open();
  const { source, destination } = nodes;
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(destination);
  assert.equal(await contentOn(destination, nodes), USER_DATA);
  assert.ok(!(await hasFiles(source)));
});

const withUefi = () => TwoNodes.open(tinyVm({ name: 'web' }, { firmware: { type: 'uefi' } }));

test('of the UEFI variables of a VM that has moved nothing stays where it was', async () => {
  using nodes = await withUefi();
  const { source, destination, vm } = nodes;
  assert.deepEqual(await source.hypervisor.domains.listFiles(never), [vm.uid]);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.deepEqual(await source.hypervisor.domains.listFiles(never), []);
  assert.deepEqual(await destination.hypervisor.domains.listFiles(never), [vm.uid]);
});

test('of the UEFI variables of a VM that did not come nothing stays', async () => {
  using nodes = await withUefi();
  const { source, destination, vm } = nodes;
  source.hypervisor.manualProgress = true;
  await nodes.start();
  await until('it is received', async () =>
    (await destination.hypervisor.domains.listFiles(never)).includes(vm.uid),
  );
  await source.agent.migrations.cancel(nodes.id);
  assert.equal((await nodes.ended()).phase, 'cancelled');
  await until(
    'they are removed',
    async () => (await destination.hypervisor.domains.listFiles(never)).length === 0,
  );
  assert.deepEqual(await source.hypervisor.domains.listFiles(never), [vm.uid]);
});

test('a check sends no contents, and needs a node that knows of them', async () => {
  using nodes = await open();
  const { source, destination, spec } = nodes;
  const sent = recordSent(destination);
  const plan = await source.agent.migrations.plan(spec, never);
  assert.deepEqual(plan.blockers, []);
  await nodes.start();
  await nodes.ended();
  assert.deepEqual(
    sent.map(({ method, vm }) => [method, Object.keys(vm.privateFiles), vm.requiredFeatures]),
    [
      ['check', [], ['private-files', 'cloud-init']],
      ['check', [], ['private-files', 'cloud-init']],
      ['prepare', ['user-data'], ['private-files', 'cloud-init']],
    ],
  );
});

test('a VM that runs with a disk for cloud-init which its manifest has no longer can move', async () => {
  using nodes = await open();
  const { source, destination, vm } = nodes;
  const { userData: _, ...machine } = vm.spec.template.spec;
  const spec = { ...vm.spec, template: { ...vm.spec.template, spec: machine } };
  await source.hypervisor.domains.define({ ...vm, generation: 2, spec, privateFiles: {} }, never);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.equal((await destination.hypervisor.domains.find(vm.uid, never))?.state, 'running');
});

test('a check leaves no files at the destination', async () => {
  using nodes = await open();
  await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.ok(!(await hasFiles(nodes.destination)));
});

test('files of a VM that are damaged keep it here, and a check says so', async () => {
  using nodes = await open();
  const { source, destination, spec, vm } = nodes;
  source.privateFiles.damage(vm.uid, 'user-data', vm.privateFiles['user-data'] ?? '');
  const { blockers } = await source.agent.migrations.plan(spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => [reason, nodeName]),
    [['JOURNAL_FAILURE', 'a']],
  );
  await assert.rejects(nodes.start(), { reason: 'JOURNAL_FAILURE' });
  assert.equal((await source.find(vm.uid))?.state, 'running');
  assert.ok(!(await hasFiles(destination)));
});

test('a destination that cannot keep the files lets the VM stay', async () => {
  using nodes = await open();
  const { source, destination } = nodes;
  destination.privateFiles.failure = new AgentError('STORAGE_FULL', 'full');
  await nodes.start();
  assert.deepEqual((await nodes.ended()).reason, 'STORAGE_FULL');
  destination.privateFiles.failure = undefined;
  await nodes.assertRunsOn(source);
  assert.equal(await contentOn(source, nodes), USER_DATA);
});

test('files of a VM whose migration is cancelled are removed from the destination', async () => {
  using nodes = await open();
  const { source, destination, id } = nodes;
  await nodes.copying();
  assert.equal(await contentOn(destination, nodes), USER_DATA);
  await source.agent.migrations.cancel(id);
  assert.equal((await nodes.ended()).phase, 'cancelled');
  await nodes.assertRunsOn(source);
  assert.ok(!(await hasFiles(destination)));
  assert.equal(await contentOn(source, nodes), USER_DATA);
});

test('files of a VM whose transfer breaks are removed from the destination', async () => {
  using nodes = await open();
  const { source, destination, id } = nodes;
  await nodes.copying();
  source.transfers.fail(id, 'The link is cut');
  assert.equal((await nodes.ended()).phase, 'failed');
  await nodes.assertRunsOn(source);
  assert.ok(!(await hasFiles(destination)));
});

test('files of a VM that is lost on the way are removed from both nodes', async () => {
  using nodes = await open();
  const { source, destination, vm } = nodes;
  await nodes.copying();
  await source.hypervisor.domains.destroy(vm.uid, never);
  await source.hypervisor.domains.undefine(vm.uid, never);
  source.hypervisor.advance(vm.uid);
  assert.equal((await nodes.ended()).reason, 'VM_NOT_FOUND');
  for (const node of [source, destination]) {
    await until(`node ${node.name} has none`, async () => !(await hasFiles(node)));
  }
});

test('files that the source cannot remove do not fail the migration, and go when it starts again', async () => {
  using nodes = await open();
  const { source, destination } = nodes;
  source.privateFiles.failure = new AgentError('JOURNAL_FAILURE', 'no');
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.ok(await hasFiles(source));
  source.privateFiles.failure = undefined;
  source.agent.life.kill();
  await nodes.assertRunsOn(destination);
});

test('files that come with a VM which is still on its way stay when its destination starts again', async () => {
  using nodes = await open();
  const { destination } = nodes;
  await nodes.copying();
  const before = destination.agent;
  destination.agent.life.kill();
  await until('it starts again', () => destination.agent !== before);
  await destination.agent.inventory.refresh(never);
  assert.equal(await contentOn(destination, nodes), USER_DATA);
  const { source, id, vm } = nodes;
  await until('it has arrived', () => {
    source.hypervisor.advance(vm.uid);
    return source.record(id)?.phase === 'completed';
  });
  await nodes.assertRunsOn(destination);
});

test('a VM that comes back finds no files of its first stay', async () => {
  using nodes = await open();
  const { source, destination, vm } = nodes;
  await nodes.start();
  await nodes.ended();
  await nodes.assertRunsOn(destination);
  const id = randomUUID();
  destination.hypervisor.addPeer(
    destination.transfers.socketPath(id, 'libvirt'),
    source.hypervisor,
  );
  const spec = { ...nodes.spec, destinationNode: 'a' };
  await destination.agent.migrations.start({ id, spec, labels: {}, requestedBy: 'tester' }, never);
  await until('it is back', () => destination.record(id)?.phase === 'completed');
  assert.equal((await source.find(vm.uid))?.state, 'running');
  assert.equal(await contentOn(source, nodes), USER_DATA);
  assert.ok(!(await hasFiles(destination)));
});

test('nothing of a private file gets into the journals or the logs of a migration', async () => {
  const { log, text } = recordedLog();
  using nodes = await TwoNodes.open({}, { userData: USER_DATA, log });
  const { source, destination, id } = nodes;
  await nodes.start();
  await nodes.ended();
  await nodes.assertSound();
  const journals = [source, destination].map(({ journal }) => journal.text());
  for (const node of [source, destination]) {
    assert.deepEqual(node.record(id)?.definition?.privateFiles, nodes.vm.privateFiles);
  }
  assert.ok(text().includes(id));
  for (const place of [...journals, text()]) assert.ok(!/hunter2|cloud-config/.test(place));
});

const KEY = 'open, sesame';

const withKey = (log?: Logger) =>
  TwoNodes.open(
    {},
    {
      volumes: [{ ...ROOT, encryption: { secret: 'disk-key' } }],
      diskKeys: { root: KEY },
      ...(log && { log }),
    },
  );

test('the keys of its disks are at the destination before the VM is, and gone where it was', async () => {
  const { log, text } = recordedLog();
  using nodes = await withKey(log);
  const { source, destination, vm } = nodes;
  const sent = recordSent(destination);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(destination);
  assert.deepEqual(sent.at(-1)?.vm.requiredFeatures, ['private-files', 'disk-keys']);
  assert.deepEqual(destination.hypervisor.diskKeysOf(vm.uid), { root: KEY });
  assert.equal(source.hypervisor.diskKeysOf(vm.uid), undefined);
  assert.ok(!(await hasFiles(source)));
  const journals = [source, destination].map(({ journal }) => journal.text());
  for (const place of [...journals, text()]) assert.ok(!place.includes(KEY));
});

test('keys of a VM that does not come are forgotten at the destination', async () => {
  using nodes = await withKey();
  const { source, destination, vm } = nodes;
  source.hypervisor.manualProgress = true;
  await nodes.start();
  await until('its key is there', () => destination.hypervisor.diskKeysOf(vm.uid) !== undefined);
  await source.agent.migrations.cancel(nodes.id);
  assert.equal((await nodes.ended()).phase, 'cancelled');
  await until('it is gone', () => destination.hypervisor.diskKeysOf(vm.uid) === undefined);
  assert.deepEqual(source.hypervisor.diskKeysOf(vm.uid), { root: KEY });
});

test('a destination whose hypervisor keeps no keys lets the VM stay', async () => {
  using nodes = await withKey();
  const { source, destination } = nodes;
  destination.hypervisor.fail('putDiskKeys', new AgentError('FEATURE_NOT_SUPPORTED', 'No'));
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'failed');
  await nodes.assertRunsOn(source);
  assert.ok(!(await hasFiles(destination)));
});
