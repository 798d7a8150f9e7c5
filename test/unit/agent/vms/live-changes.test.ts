import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded, type Operation } from '../../../../src/agent/operations/operation.ts';
import { VmImages } from '../../../../src/agent/vms/vm-images.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { until } from '../../../fixtures/until.ts';
import { manifestOf } from './manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const PATH = '/images/data.img';
const DATA: Volume = {
  name: 'data',
  kind: 'disk',
  format: 'raw',
  cache: 'none',
  source: { file: { path: PATH } },
};
const FIELD = 'spec.template.spec.volumes[0]';

/** A node with a VM that runs, and a caller who has it changed. */
async function withVm(volumes: readonly Volume[] = []) {
  const node = await OneNode.open();
  node.images.add(PATH, { format: 'raw' });
  const request = newRequest('web', { machine: { volumes: [...volumes] } });
  await node.create(request);
  node.agent.run();
  const { operations } = node.agent;
  const apply = async (wanted: readonly Volume[], parameters = {}): Promise<Operation> => {
    const manifest = manifestOf(request, { machine: { volumes: wanted } });
    const vm = { ...refOf(request), uid: undefined };
    const asked = { manifest, updateMask: undefined, generation: undefined, ...parameters };
    const id = randomUUID();
    await operations.submit(
      { id, kind: 'apply', vm, parameters: asked, requestedBy: 'tester' },
      never,
    );
    return operations.get(id);
  };
  const ended = async ({ id }: Operation): Promise<Operation> => {
    await until('it ends', async () => hasEnded(await operations.get(id)));
    return operations.get(id);
  };
  const get = () => node.vms.get(refOf(request), never);
  return { node, request, uid: uidOf(request), apply, ended, get, operations };
}

test('a disk that is added is there when the operation ends', async () => {
  const { node, apply, ended, get } = await withVm();
  await using _ = node;
  const end = await ended(await apply([DATA]));
  assert.deepEqual([end.state, end.result], ['succeeded', 'CHANGED']);
  const { volumes, pendingChanges } = await get();
  assert.deepEqual([volumes[0]?.path, pendingChanges], [PATH, []]);
});

test('a guest that does not let go fails the operation in its time, and is asked again', async () => {
  const { node, apply, ended, get } = await withVm([DATA]);
  await using _ = node;
  node.hypervisor.keepsDevices = true;
  const asked = await apply([], { guestTimeoutMs: 1_000 });
  await until('it waits', async () => (await get()).pendingChanges[0]?.waitsFor === 'guest');
  const waiting = await get();
  assert.equal(waiting.pendingChanges[0]?.field, FIELD);
  const condition = waiting.conditions.find(({ type }) => type === 'SpecApplied');
  assert.match(condition?.message ?? '', /volumes\[0\]: waits for the guest since \d\d:\d\d:\d\dZ/);
  assert.equal(condition?.reason, 'WaitsForGuest');
  const end = await ended(asked);
  assert.equal(end.error?.reason, 'GUEST_DID_NOT_ANSWER');
  assert.match(end.error?.message ?? '', /within 1 s \(volumes\[0\] data\)/);
  // Changed it is, and what is on the disk is the guest's until it lets go.
  assert.equal((await get()).volumes[0]?.name, 'data');
  node.hypervisor.keepsDevices = false;
  const { uid } = waiting.definition;
  await node.hypervisor.devices.changeLive(uid, never);
  assert.deepEqual((await get()).volumes, []);
});

test('what is asked for while a guest is waited for counts', async () => {
  const { node, apply, ended, get } = await withVm([DATA]);
  await using _ = node;
  node.hypervisor.keepsDevices = true;
  const first = await apply([]);
  await until('it waits', async () => (await get()).pendingChanges.length > 0);
  const second = await apply([DATA]);
  assert.equal((await ended(second)).result, 'CHANGED');
  assert.equal((await ended(first)).state, 'succeeded');
  assert.deepEqual((await get()).pendingChanges, []);
});

test('what cannot be plugged in fails the operation with the reason, and the next start has it', async () => {
  const { node, apply, ended, get } = await withVm();
  await using _ = node;
  node.hypervisor.deviceProblem = new AgentError('HYPERVISOR_REFUSED', 'There is no free slot');
  const end = await ended(await apply([DATA]));
  assert.equal(end.error?.reason, 'LIVE_CHANGE_FAILED');
  assert.match(end.error?.message ?? '', /volumes\[0\] data\): There is no free slot/);
  const { pendingChanges, conditions } = await get();
  assert.deepEqual([pendingChanges[0]?.waitsFor, pendingChanges[0]?.field], ['agent', FIELD]);
  const condition = conditions.find(({ type }) => type === 'SpecApplied');
  assert.deepEqual([condition?.status, condition?.reason], ['false', 'ChangeFailed']);
  await node.vms.destroy((await get()).definition, never);
  const started = await node.vms.start((await get()).definition, never);
  assert.deepEqual([started.pendingChanges, started.volumes[0]?.name], [[], 'data']);
});

test('what has failed before is no word on what is asked for now', async () => {
  const { node, apply, ended, get } = await withVm();
  await using _ = node;
  const problem = new AgentError('HYPERVISOR_REFUSED', 'There is no free slot');
  node.hypervisor.deviceProblem = problem;
  await ended(await apply([DATA]));
  node.hypervisor.deviceProblem = undefined;
  const other = { ...DATA, name: 'other', source: { file: { path: '/images/other.img' } } };
  node.images.add('/images/other.img', { format: 'raw' });
  assert.equal((await ended(await apply([other]))).result, 'CHANGED');
  assert.deepEqual(
    (await get()).volumes.map(({ name }) => name),
    ['other'],
  );
});

test('an operation that waits is forgotten once it has ended', async () => {
  const ended: string[] = [];
  const images = new VmImages({
    manager: { want: () => never as never, drop: () => {} },
    disks: { listCopies: () => never as never },
    copies: { want: () => never as never, drop: () => {} },
    inventory: { findByName: () => undefined },
  });
  const work = images.before({
    firstStep: 'changing',
    admit: () => never as never,
    step: () => never as never,
    ended: (id) => void ended.push(id),
  });
  work.ended?.('one');
  assert.deepEqual(ended, ['one']);
});

test('a VM that is paused is waited for no longer than it takes to say so', async () => {
  const { node, request, apply, ended } = await withVm([DATA]);
  await using _ = node;
  await node.vms.suspend(refOf(request), never);
  const end = await ended(await apply([], { guestTimeoutMs: 1_000 }));
  assert.match(end.error?.message ?? '', /it is paused: let it go on with novactl vm resume/);
});
