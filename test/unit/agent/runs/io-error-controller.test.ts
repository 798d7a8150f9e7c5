import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { until } from '../../../fixtures/until.ts';
import { toldBy } from '../events/eventful-node.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import { ask, reasonOf } from './controlled-node.ts';

const ROOT = '/images/root.raw';
const DISK: Volume = {
  name: 'root',
  kind: 'disk',
  format: 'raw',
  cache: 'none',
  source: { file: { path: ROOT } },
};
const LITTLE = 1024 * 1024;
const PLENTY = 2 ** 30;

async function withVm(ioErrorResume: 'auto' | 'manual' | undefined) {
  const node = await OneNode.open({ firstResumeDelayMs: 1 });
  node.images.add(ROOT, { format: 'raw' });
  const machine = { volumes: [DISK], ...(ioErrorResume && { ioErrorResume }) };
  const request = newRequest('web', { runStrategy: 'Once', machine });
  await node.create(request);
  node.agent.run();
  const [ref, uid] = [refOf(request), uidOf(request)];
  const pause = (reason: 'no-space' | 'io-error') =>
    node.hypervisor.setState(uid, 'paused', reason);
  const resumes = () => node.hypervisor.calls.filter((call) => call === `resume ${uid}`).length;
  const looks = async () => {
    for (let round = 0; round < 3; round += 1) await node.inventory.refresh(never);
  };
  return { node, ref, uid, pause, resumes, looks, reason: () => reasonOf(node, ref) };
}

test('a VM whose storage was full goes on once there is room, and it is told why', async () => {
  const { node, pause, resumes, looks, reason, ref } = await withVm('auto');
  await using _ = node;
  node.diskFiles.room = LITTLE;
  pause('no-space');
  await until('it is paused', async () => (await reason()) === 'NoSpace');
  const { message } = await node.vms.get(ref, never);
  assert.match(message, /novactl vm resume test\/web, or leave it: it goes on by itself once/);
  await looks();
  assert.equal(resumes(), 0);
  node.diskFiles.room = PLENTY;
  await until('it goes on', async () => (await node.vms.get(ref, never)).phase === 'running');
  const told = () => toldBy(node);
  await until('it is told', async () =>
    (await told()).includes('Resumed NoSpace agent/io-error-resume'),
  );
});

test('after another error it is let go on again and again', async () => {
  const { node, uid, pause, resumes } = await withVm('auto');
  await using _ = node;
  pause('io-error');
  await until('it was tried', () => resumes() === 1);
  // What has begun must have been done, or it would undo the next pause.
  await until('it goes on', async () => {
    const found = await node.hypervisor.domains.find(uid, never);
    return found?.state === 'running';
  });
  pause('io-error');
  await until('it was tried again', () => resumes() === 2);
});

test('one whose spec does not say so waits for somebody', async () => {
  for (const policy of ['manual', undefined] as const) {
    const { node, ref, pause, resumes, looks, reason } = await withVm(policy);
    await using _ = node;
    pause('no-space');
    await until('it is paused', async () => (await reason()) === 'NoSpace');
    await looks();
    assert.equal(resumes(), 0);
    assert.doesNotMatch((await node.vms.get(ref, never)).message, /by itself/);
  }
});

test('one that somebody has suspended stands still, also where an error had stopped it first', async () => {
  const { node, ref, pause, resumes, looks, reason } = await withVm('auto');
  await using _ = node;
  node.diskFiles.room = LITTLE;
  pause('no-space');
  await until('it is paused', async () => (await reason()) === 'NoSpace');
  assert.equal((await ask(node, 'suspend', ref)).state, 'succeeded');
  node.diskFiles.room = PLENTY;
  await looks();
  assert.equal(resumes(), 0);
  assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
  assert.equal(resumes(), 1);
  // From then on it is as before.
  pause('no-space');
  await until('it goes on', () => resumes() === 2);
});

test('one that was suspended stands still after what has not let it go on: a reset and a failed resume', async () => {
  const { node, ref, uid, pause, resumes, looks, reason } = await withVm('auto');
  await using _ = node;
  node.diskFiles.room = LITTLE;
  pause('no-space');
  await until('it is paused', async () => (await reason()) === 'NoSpace');
  assert.equal((await ask(node, 'suspend', ref)).state, 'succeeded');
  assert.equal((await ask(node, 'reset', ref)).state, 'succeeded');
  pause('no-space');
  node.hypervisor.fail('resume', new AgentError('HYPERVISOR_FAILURE', 'It cannot now'));
  assert.equal((await ask(node, 'resume', ref)).state, 'failed');
  const tried = resumes();
  node.diskFiles.room = PLENTY;
  await looks();
  assert.equal(resumes(), tried);
  const found = await node.hypervisor.domains.find(uid, never);
  assert.equal(found?.state, 'paused');
  assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
});

test('a shutdown that was ignored is one still after a pause', async () => {
  const { node, ref } = await withVm(undefined);
  await using _ = node;
  node.hypervisor.slowShutdown = true;
  const { state } = await ask(node, 'shutdown', ref, { timeoutMs: 1 });
  assert.equal(state, 'failed');
  await ask(node, 'suspend', ref);
  await ask(node, 'resume', ref);
  await until('it is said', async () => (await reasonOf(node, ref)) === 'GuestDidNotStop');
});
