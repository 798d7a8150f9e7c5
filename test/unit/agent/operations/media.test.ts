import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wantedOf } from '../../../../src/agent/vms/wanted-definition.ts';
import { hasReason, type Reason } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { pathOf } from '../../../../src/core/resources/volume.ts';
import { ask, begin, untilRunning } from '../runs/controlled-node.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';

const ISO = '/images/setup.iso';
const OTHER_ISO = '/images/tools.iso';
const ROOT = '/images/root.raw';

const DRIVE: Volume = { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none' };
const DISK: Volume = {
  name: 'root',
  kind: 'disk',
  format: 'raw',
  cache: 'none',
  source: { file: { path: ROOT } },
};

async function withDrive(medium?: string) {
  const node = await OneNode.open();
  for (const path of [ISO, OTHER_ISO, ROOT]) node.images.add(path, { format: 'raw' });
  node.agent.run();
  const request = newRequest('web', { runStrategy: 'Once' });
  const { template } = request.spec;
  const source = medium === undefined ? undefined : { file: { path: medium } };
  const drive: Volume = source === undefined ? DRIVE : { ...DRIVE, source };
  const spec = { ...template.spec, volumes: [drive, DISK] };
  await node.create({ ...request, spec: { ...request.spec, template: { ...template, spec } } });
  const ref = refOf(request);
  const uid = uidOf(request);
  const inDrive = async () => {
    const found = await node.hypervisor.domains.find(uid, never);
    const wanted = found?.definition?.spec.template.spec.volumes?.[0] ?? {};
    return [found?.volumes[0]?.path, pathOf(wanted)];
  };
  return { node, ref, uid, inDrive };
}

async function refused(reason: Reason, work: Promise<unknown>, words: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), String(error));
    assert.match(error.message, words);
    return true;
  });
}

test('what somebody has put into a drive by other means is taken out, and in the way of another', async () => {
  const { node, ref, uid } = await withDrive();
  await using _node = node;
  const [drive, root] = (await node.hypervisor.domains.find(uid, never))?.disks ?? [];
  assert.ok(drive !== undefined && root !== undefined);
  const byHand = { kind: 'file', path: OTHER_ISO, format: 'raw' } as const;
  node.hypervisor.setDisks(uid, [{ ...drive, images: [byHand] }, root]);
  const insert = { volume: 'setup', path: ISO };
  await refused('DEVICE_IN_USE', ask(node, 'insert', ref, insert), /tools\.iso is in it/);
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'EJECTED');
});

test('no medium is changed where that would put back a disk which somebody has changed', async () => {
  const { node, ref, uid, inDrive } = await withDrive(ISO);
  await using _node = node;
  const [drive, root] = (await node.hypervisor.domains.find(uid, never))?.disks ?? [];
  assert.ok(drive !== undefined && root !== undefined);
  node.hypervisor.changeUnseen(uid, 'volumes');
  // Of the drive alone nothing can be lost.
  const other = { kind: 'file', path: OTHER_ISO, format: 'raw' } as const;
  node.hypervisor.setDisks(uid, [{ ...drive, images: [other] }, root]);
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'EJECTED');
  const overlay = { kind: 'file', path: '/images/root.s1', format: 'qcow2' } as const;
  node.hypervisor.setDisks(uid, [drive, { ...root, images: [overlay, ...root.images] }]);
  node.hypervisor.changeUnseen(uid, 'volumes');
  const insert = { volume: 'setup', path: ISO };
  await refused('VM_DISKS_CHANGED', ask(node, 'insert', ref, insert), /virsh blockcommit/);
  assert.deepEqual(await inDrive(), [undefined, undefined]);
});

test('a medium is taken out of a VM that runs, which its manifest says then, and put back', async () => {
  const { node, ref, inDrive } = await withDrive(ISO);
  await using _node = node;
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'EJECTED');
  assert.deepEqual(await inDrive(), [undefined, undefined]);
  const { definition, pendingChanges, drift } = await node.vms.get(ref, never);
  assert.deepEqual([definition.generation, pendingChanges, drift], [2, [], []]);
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'ALREADY_EMPTY');
  const insert = { volume: 'setup', path: OTHER_ISO };
  assert.equal((await ask(node, 'insert', ref, insert)).result, 'INSERTED');
  assert.equal((await ask(node, 'insert', ref, insert)).result, 'ALREADY_INSERTED');
  assert.deepEqual(await inDrive(), [OTHER_ISO, OTHER_ISO]);
  // What was printed can be applied.
  const now = await node.vms.get(ref, never);
  const options = { dryRun: true, updateMask: undefined, generation: undefined };
  const again = await node.vms.apply(wantedOf(now.definition), options, never);
  assert.equal(again.outcome, 'unchanged');
});

test('a manifest that has it still puts it back at the next start only', async () => {
  const { node, ref, uid, inDrive } = await withDrive(ISO);
  await using _node = node;
  const before = wantedOf((await node.vms.get(ref, never)).definition);
  await ask(node, 'eject', ref, { volume: 'setup' });
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  await node.vms.apply(before, options, never);
  assert.deepEqual(await inDrive(), [undefined, ISO]);
  await ask(node, 'restart', ref);
  await untilRunning(node, uid);
  assert.deepEqual(await inDrive(), [ISO, ISO]);
});

test('what waits for the next start is taken out of it too, and what runs of what runs', async () => {
  const { node, ref, inDrive } = await withDrive();
  await using _node = node;
  const wanted = wantedOf((await node.vms.get(ref, never)).definition);
  const { template } = wanted.spec;
  const volumes = [{ ...DRIVE, source: { file: { path: ISO } } }, DISK];
  const spec = { ...wanted.spec, template: { ...template, spec: { ...template.spec, volumes } } };
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  await node.vms.apply({ ...wanted, spec }, options, never);
  assert.deepEqual(await inDrive(), [undefined, ISO]);
  await refused(
    'DEVICE_IN_USE',
    begin(node, 'insert', ref, { volume: 'setup', path: OTHER_ISO }),
    /novactl vm eject test\/web setup/,
  );
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).result, 'EJECTED');
  assert.deepEqual(await inDrive(), [undefined, undefined]);
});

test('the drives of a VM that is off and of one that is paused can be changed', async () => {
  const { node, ref, inDrive } = await withDrive(ISO);
  await using _node = node;
  await ask(node, 'suspend', ref);
  assert.equal((await ask(node, 'eject', ref, { volume: 'setup' })).state, 'succeeded');
  await ask(node, 'destroy', ref);
  await ask(node, 'insert', ref, { volume: 'setup', path: OTHER_ISO });
  assert.deepEqual(await inDrive(), [OTHER_ISO, OTHER_ISO]);
});

test('a name or a path that is not right is refused, and nothing else is changed', async () => {
  const { node, ref, inDrive } = await withDrive();
  await using _node = node;
  const cases = [
    ['eject', { volume: 'root' }, 'INVALID_REQUEST', /that is a disk.*its drives are: setup/],
    ['eject', { volume: 'setu' }, 'INVALID_REQUEST', /no volume of that name/],
    ['insert', { volume: 'root', path: ISO }, 'INVALID_REQUEST', /that is a disk/],
    ['insert', { volume: 'setup', path: '/images/none.iso' }, 'IMAGE_NOT_FOUND', /none\.iso/],
    ['insert', { volume: 'setup', path: 'setup.iso' }, 'INVALID_SPEC', /absolute/],
    ['insert', { volume: 'setup', path: ROOT }, 'INVALID_SPEC', /same as that of volume/],
    ['insert', { volume: 'setup', path: '' }, 'INVALID_SPEC', /path/],
  ] as const;
  for (const [kind, parameters, reason, words] of cases) {
    await refused(reason, begin(node, kind, ref, parameters), words);
  }
  await ask(node, 'insert', ref, { volume: 'setup', path: ISO });
  const full = begin(node, 'insert', ref, { volume: 'setup', path: OTHER_ISO });
  await refused('DEVICE_IN_USE', full, /setup\.iso is in it/);
  assert.deepEqual(await inDrive(), [ISO, ISO]);
  assert.equal((await node.vms.get(ref, never)).definition.generation, 2);
});

test('a guest that holds its drive shut keeps what is in it, unless it is forced', async () => {
  const { node, ref, inDrive } = await withDrive(ISO);
  await using _node = node;
  node.hypervisor.locksTrays = true;
  const { error } = await ask(node, 'eject', ref, { volume: 'setup' });
  assert.equal(error?.reason, 'DEVICE_IN_USE');
  assert.deepEqual(await inDrive(), [ISO, ISO]);
  await ask(node, 'eject', ref, { volume: 'setup', force: true });
  assert.deepEqual(await inDrive(), [undefined, undefined]);
});
