import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ejectionNotes } from '../../../../src/agent/vms/ejection-notes.ts';
import { wantedOf } from '../../../../src/agent/vms/wanted-definition.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { pathOf } from '../../../../src/core/resources/volume.ts';
import { until } from '../../../fixtures/until.ts';
import { toldBy } from '../events/eventful-node.ts';
import { ask, untilRunning } from '../runs/controlled-node.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const ISO = '/images/setup.iso';
const OTHER_ISO = '/images/tools.iso';

const DRIVE: Volume = {
  name: 'setup',
  kind: 'cdrom',
  format: 'raw',
  cache: 'none',
  bootOrder: 1,
  source: { file: { path: ISO } },
};

/** A VM that runs with its installer's CD. */
async function withInstaller(hypervisor?: OneNode['hypervisor'], journal?: object) {
  const node = await OneNode.open({ ...(hypervisor && { hypervisor }), ...journal });
  for (const path of [ISO, OTHER_ISO]) node.images.add(path, { format: 'raw' });
  const request = newRequest('web', { runStrategy: 'Once', machine: { volumes: [DRIVE] } });
  await node.create(request);
  const [ref, uid] = [refOf(request), uidOf(request)];
  const inDrive = async () => {
    const found = await node.hypervisor.domains.find(uid, never);
    const wanted = found?.definition?.spec.template.spec.volumes?.[0] ?? {};
    return [found?.volumes[0]?.path, pathOf(wanted)];
  };
  const untilEmpty = () =>
    until('the drive is empty', async () => (await inDrive())[0] === undefined);
  const definition = async () => (await node.vms.get(ref, never)).definition;
  return { node, ref, uid, inDrive, untilEmpty, definition };
}

const APPLY = { dryRun: false, updateMask: undefined, generation: undefined };

test('what a guest has ejected stays out over its reboot and a restart, and the spec stays', async () => {
  const { node, ref, uid, inDrive, untilEmpty, definition } = await withInstaller();
  await using _node = node;
  node.agent.run();
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  node.hypervisor.rebootGuest(uid);
  await ask(node, 'restart', ref);
  await untilRunning(node, uid);
  assert.deepEqual(await inDrive(), [undefined, ISO]);
  const { generation } = await definition();
  const { pendingChanges, drift } = await node.vms.get(ref, never);
  assert.deepEqual([generation, pendingChanges, drift], [1, [], []]);
  await until('it is told', async () => (await toldBy(node)).includes('MediumEjected Guest'));
  assert.ok(!(await toldBy(node)).some((told) => told.startsWith('MediumInserted')));
});

test('a manifest that is applied again does not put it back, and says so', async () => {
  const { node, ref, uid, inDrive, untilEmpty, definition } = await withInstaller();
  await using _node = node;
  node.agent.run();
  const wanted = wantedOf(await definition());
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  const same = await node.vms.apply(wanted, APPLY, never);
  assert.equal(same.outcome, 'unchanged');
  assert.match(same.warnings.join(), /novactl vm insert test\/web setup \/images\/setup\.iso/);
  const labels = { role: 'web' };
  const changed = { ...wanted, metadata: { ...wanted.metadata, labels } };
  const applied = await node.vms.apply(changed, APPLY, never);
  assert.equal(applied.outcome, 'changed');
  assert.match(applied.warnings.join(), /the guest has ejected it/);
  await ask(node, 'restart', ref);
  await untilRunning(node, uid);
  assert.deepEqual(await inDrive(), [undefined, ISO]);
});

test('who wants it in again inserts it, and another medium is put in by the manifest', async () => {
  const { node, ref, uid, inDrive, untilEmpty, definition } = await withInstaller();
  await using _node = node;
  node.agent.run();
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'ALREADY_EMPTY');
  const insert = { volume: 'setup', path: ISO };
  assert.equal((await ask(node, 'insert', ref, insert)).result, 'INSERTED');
  assert.deepEqual(await inDrive(), [ISO, ISO]);
  assert.deepEqual(ejectionNotes(await definition()), []);
  assert.equal((await definition()).generation, 1);
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  const wanted = wantedOf(await definition());
  const { template } = wanted.spec;
  const volumes = [{ ...DRIVE, source: { file: { path: OTHER_ISO } } }];
  const spec = { ...wanted.spec, template: { spec: { ...template.spec, volumes } } };
  await node.vms.apply({ ...wanted, spec }, APPLY, never);
  await ask(node, 'restart', ref);
  await untilRunning(node, uid);
  assert.deepEqual(await inDrive(), [OTHER_ISO, OTHER_ISO]);
});

test('it starts although what its guest has ejected is gone from the node', async () => {
  const { node, ref, uid, untilEmpty } = await withInstaller();
  await using _node = node;
  node.agent.run();
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  await ask(node, 'destroy', ref);
  node.images.remove(ISO);
  assert.equal((await ask(node, 'start', ref)).state, 'succeeded');
});

test('what was ejected while no agent ran is taken out by the next', async () => {
  const { node, uid, untilEmpty } = await withInstaller();
  await using _node = node;
  node.hypervisor.openDrive(uid, 'setup');
  node.agent.run();
  await untilEmpty();
});

test('an agent that dies while it takes it out leaves it to the next step', async () => {
  const { node, uid, inDrive, untilEmpty } = await withInstaller();
  await using _node = node;
  node.hypervisor.fail('keepEjected', new Error('it has died'), 2);
  node.agent.run();
  node.hypervisor.openDrive(uid, 'setup');
  await untilEmpty();
  assert.deepEqual(await inDrive(), [undefined, ISO]);
});

test('what was shut again, or put in by somebody, before it is taken out stays in', async () => {
  const { node, uid, inDrive, definition } = await withInstaller();
  await using _node = node;
  const release = node.hypervisor.block('keepEjected');
  node.agent.run();
  node.hypervisor.openDrive(uid, 'setup');
  await until('it is about to be taken out', () =>
    node.hypervisor.calls.includes(`keepEjected ${uid}`),
  );
  node.hypervisor.shutDrive(uid, 'setup');
  release();
  await until('the step has ended', () => node.locks.purposeOf(uid) === undefined);
  assert.deepEqual(await inDrive(), [ISO, ISO]);
  assert.deepEqual(ejectionNotes(await definition()), []);
});
