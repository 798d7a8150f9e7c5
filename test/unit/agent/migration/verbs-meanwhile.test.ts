import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { OperationKind } from '../../../../src/agent/operations/operation.ts';
import { hasReason } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { never, ROOT, TwoNodes } from './two-nodes.ts';

const KINDS = ['suspend', 'resume', 'reset', 'reboot', 'restart'] as const;
const DRIVE: Volume = {
  name: 'setup',
  kind: 'cdrom',
  format: 'raw',
  cache: 'none',
  source: { file: { path: '/srv/images/setup.iso' } },
};

async function ask({ source, vm }: TwoNodes, kind: OperationKind, parameters: object = {}) {
  const { namespace, name } = vm;
  const asked = { id: randomUUID(), kind, vm: { namespace, name, uid: undefined } };
  const { operations } = source.agent;
  const request = { ...asked, parameters: { ...parameters }, requestedBy: 'tester' };
  return operations.untilDone(await operations.submit(request, never), never);
}

async function assertBusy(nodes: TwoNodes, kind: OperationKind, parameters?: object) {
  await assert.rejects(ask(nodes, kind, parameters), (error) => {
    assert.ok(hasReason(error, 'VM_BUSY'), `${kind}: ${String(error)}`);
    assert.match(error.message, /in progress|now\. /);
    return true;
  });
}

async function volumesOf({ source, vm }: TwoNodes) {
  return (await source.find(vm.uid))?.volumes.map(({ path }) => path);
}

test('while a VM is copied no verb touches it, and the migration is named', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [ROOT, DRIVE] });
  await nodes.copying();
  for (const kind of KINDS) await assertBusy(nodes, kind);
  await assertBusy(nodes, 'eject', { volume: 'setup' });
  await assertBusy(nodes, 'delete');
  await assert.rejects(ask(nodes, 'shutdown'), /^AgentError: Cannot shut down VM web: /);
  assert.deepEqual(await volumesOf(nodes), [ROOT.source?.file?.path, DRIVE.source?.file?.path]);
  assert.equal((await nodes.source.find(nodes.vm.uid))?.state, 'running');
});

test('a VM that stands still for its switchover is not let go on', async () => {
  using nodes = await TwoNodes.open();
  const goOn = await nodes.switchingOver();
  assert.equal((await nodes.source.find(nodes.vm.uid))?.state, 'paused');
  for (const kind of KINDS) await assertBusy(nodes, kind);
  assert.equal((await nodes.source.find(nodes.vm.uid))?.state, 'paused');
  goOn();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

test('plan and deed refuse a VM that is paused, and once it goes on it moves', async () => {
  using nodes = await TwoNodes.open();
  for (const reason of ['user', 'io-error'] as const) {
    nodes.source.hypervisor.setState(nodes.vm.uid, 'paused', reason);
    await nodes.source.agent.inventory.refresh(never);
    const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
    assert.deepEqual(
      blockers.map((blocker) => blocker.reason),
      ['VM_PAUSED'],
    );
    assert.match(blockers[0]?.message ?? '', /novactl vm resume \w+\/web/);
    await assert.rejects(nodes.start(), { reason: 'VM_PAUSED' });
    assert.equal((await ask(nodes, 'resume')).operation.state, 'succeeded');
  }
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
});

test('a medium that the other node does not have is named with the way on, and without it the VM moves', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [ROOT, DRIVE] });
  const path = DRIVE.source?.file?.path ?? '';
  const assertNamed = async () => {
    const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
    assert.ok(blockers.length > 0);
    for (const { message } of blockers) assert.match(message, /novactl vm eject \S+ setup/);
  };
  nodes.storage.put(['b'], path, { storage: 'disk of b' });
  await assertNamed();
  nodes.destination.images.remove(path);
  nodes.storage.remove('b', path);
  await assertNamed();
  await ask(nodes, 'eject', { volume: 'setup' });
  assert.deepEqual((await nodes.source.agent.migrations.plan(nodes.spec, never)).blockers, []);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
});
