import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode } from './one-node.ts';

const REF = { namespace: 'test', name: 'web', uid: undefined };
const DISK = '/srv/images/web.raw';

/** A VM that is off, with a disk. */
async function withDisk(node: OneNode): Promise<void> {
  const { metadata, spec } = newRequest('web', { runStrategy: 'Manual' });
  const root = { name: 'root', kind: 'disk', format: 'raw', source: { file: { path: DISK } } };
  const machine = { ...spec.template.spec, volumes: [root] };
  node.images.add(DISK);
  await node.create({ metadata, spec: { ...spec, template: { spec: machine } } } as never);
}

async function startable(node: OneNode) {
  const { phase, conditions } = await node.vms.get(REF, never);
  assert.equal(phase, 'stopped');
  const { status, reason, message } = conditions.find(({ type }) => type === 'Startable') ?? {};
  return { status, reason, message };
}

const NO_WORD = { status: undefined, reason: undefined, message: undefined };

test('that an image is gone shows before anybody tries to start the VM, and no more once it is back', async () => {
  await using node = await OneNode.open({ lookIntervalMs: 1 });
  await withDisk(node);
  node.agent.run();
  assert.deepEqual(await startable(node), NO_WORD);
  node.images.remove(DISK);
  await until('it shows', async () => (await startable(node)).reason === 'ImageNotFound');
  const { status, message } = await startable(node);
  assert.equal(status, 'false');
  assert.match(message ?? '', /^Cannot start VM web: \/srv\/images\/web\.raw does not exist/);
  node.images.add(DISK);
  await until('it is well', async () => (await startable(node)).reason === undefined);
});

test('that a bridge is gone shows before anybody tries to start the VM, and no more once it is back', async () => {
  await using node = await OneNode.open({ lookIntervalMs: 1 });
  const networks = [{ name: 'lan', type: 'bridge', bridge: 'br0' }];
  const { metadata, spec } = newRequest('web', { runStrategy: 'Manual' });
  const machine = { ...spec.template.spec, networks };
  await node.create({ metadata, spec: { ...spec, template: { spec: machine } } } as never);
  node.agent.run();
  assert.deepEqual(await startable(node), NO_WORD);
  node.bridges.remove('br0');
  await until('it shows', async () => (await startable(node)).reason === 'NetworkNotFound');
  const { status, message } = await startable(node);
  assert.equal(status, 'false');
  assert.match(
    message ?? '',
    /^Cannot start VM web: .*networks\[0\]\.bridge is br0, and this node/,
  );
  await assert.rejects(node.vms.start(REF, never), { reason: 'NETWORK_NOT_FOUND', message });
  node.bridges.add('br0');
  await until('it is well', async () => (await startable(node)).reason === undefined);
});

for (const attempt of ['dry run', 'start'] as const) {
  test(`what a ${attempt} has found stays for whoever comes next, until one goes well`, async () => {
    await using node = await OneNode.open();
    await withDisk(node);
    const asked = { kind: 'start', vm: REF, parameters: {} } as const;
    const tryIt = () =>
      attempt === 'start'
        ? node.vms.start(REF, never)
        : node.agent.operations.plan(asked, never).then(() => undefined);
    node.images.add(DISK, { problem: { reason: 'IMAGE_INVALID', text: 'it is broken' } });
    await assert.rejects(tryIt(), { reason: 'IMAGE_INVALID' });
    const { reason, message } = await startable(node);
    assert.equal(reason, 'ImageInvalid');
    assert.match(message ?? '', /it is broken/);
    node.images.add(DISK);
    await tryIt();
    if (attempt === 'start') await node.vms.destroy(REF, never);
    assert.deepEqual(await startable(node), NO_WORD);
  });
}

test('what libvirt would not start says so after a restart of the agent too', async () => {
  const first = await OneNode.open();
  await withDisk(first);
  first.agent.run();
  const refusal = new AgentError('HYPERVISOR_REFUSED', 'Cannot start VM test/web: it is so');
  first.hypervisor.fail('start', refusal);
  const asked = {
    id: undefined,
    kind: 'start',
    vm: REF,
    parameters: {},
    requestedBy: 'x',
  } as const;
  const { operations } = first.agent;
  const begun = await operations.submit(asked, never);
  await assert.rejects(operations.untilDone(begun, never), { reason: 'HYPERVISOR_REFUSED' });
  const said = { status: 'false', reason: 'HypervisorRefused', message: refusal.message };
  assert.deepEqual(await startable(first), said);
  await using next = await OneNode.open(await first.leave());
  assert.deepEqual(await startable(next), said);
});
