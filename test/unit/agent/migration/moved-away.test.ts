import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmEvent } from '../../../../src/agent/vms/vm.ts';
import { EVERYTHING } from '../../../../src/core/label-selector.ts';
import { until } from '../../../fixtures/until.ts';
import { never, type TestNode, TwoNodes } from './two-nodes.ts';

const FORCE = { force: true };
const ALL = { namespace: '', labels: EVERYTHING };

/** Collects what a watcher of a node's VMs is told, and keeps the node's inventory fresh. */
function watch({ agent }: TestNode): VmEvent[] {
  const events: VmEvent[] = [];
  agent.run();
  agent.tasks.run('watch', async (signal) => {
    for await (const event of agent.vms.watch(ALL, undefined, signal)) events.push(event);
  });
  return events;
}

test('a VM that has moved is not deleted at its source, nor looked for in vain', async () => {
  using nodes = await TwoNodes.open();
  const { source, spec } = nodes;
  await nodes.start();
  await nodes.ended();
  const { vms } = source.agent;
  await assert.rejects(vms.delete(spec.vm, FORCE, never), {
    reason: 'VM_NOT_OWNED',
    metadata: { vmId: nodes.vm.uid, owner: 'b' },
    message: /it has moved to node b, which owns it; delete it there$/,
  });
  const { namespace, name } = nodes.vm;
  const moved = {
    reason: 'VM_NOT_FOUND',
    metadata: { namespace, name, movedToNode: 'b' },
    message: /: it has moved to node b;/,
  };
  await assert.rejects(vms.get(spec.vm, never), moved);
  await assert.rejects(vms.start(spec.vm, never), moved);
  await assert.rejects(source.agent.migrations.plan(spec, never), moved);
  const labels = { updateMask: ['metadata.labels'], generation: undefined, dryRun: false };
  const manifest = { apiVersion: 'novacron.io/v1alpha1', metadata: { namespace, name } };
  await assert.rejects(vms.apply(manifest, labels, never), moved);
  await nodes.assertRunsOn(nodes.destination);
});

test('watchers are told where a VM has gone', async () => {
  using nodes = await TwoNodes.open();
  const events = watch(nodes.source);
  await nodes.start();
  await until('it is told as gone', () => events.some(({ type }) => type === 'deleted'));
  const gone = events.find(({ type }) => type === 'deleted');
  assert.equal(gone?.movedToNode, 'b');
});

test('a VM that is deleted is not told as moved', async () => {
  using nodes = await TwoNodes.open();
  const events = watch(nodes.source);
  await nodes.source.agent.vms.delete(nodes.spec.vm, FORCE, never);
  await until('it is told as gone', () => events.some(({ type }) => type === 'deleted'));
  assert.equal(events.find(({ type }) => type === 'deleted')?.movedToNode, undefined);
});

test('a VM that is arriving is deleted at its source only', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { vms } = nodes.destination.agent;
  for (const uid of [undefined, nodes.vm.uid]) {
    await assert.rejects(vms.delete({ ...nodes.spec.vm, uid }, FORCE, never), {
      reason: 'VM_NOT_OWNED',
      metadata: { vmId: nodes.vm.uid, owner: 'a' },
    });
  }
  await assert.rejects(vms.get(nodes.spec.vm, never), {
    reason: 'VM_NOT_FOUND',
    message: /still arriving from node a/,
  });
  nodes.source.hypervisor.cut(nodes.vm.uid);
  await nodes.assertRunsOn(nodes.source);
});

test('until a source knows what became of its VM it says neither that it is gone nor that it is deleted', async () => {
  using nodes = await TwoNodes.open();
  const { source, spec, vm } = nodes;
  const events = watch(source);
  await until('it is told', () => events.some(({ type }) => type === 'synced'));
  // It is there and gone here, and nobody hears of it.
  source.hypervisor.switchoverEnd = 'reply-lost';
  const proceed = await nodes.switchingOver();
  source.wire.unreachable = true;
  proceed();
  await until(
    'it is there',
    async () => (await nodes.destination.find(vm.uid))?.state === 'running',
  );
  await source.hypervisor.domains.destroy(vm.uid, never);
  await source.hypervisor.domains.undefine(vm.uid, never);
  for (let looks = 0; looks < 3; looks++) await source.agent.inventory.refresh(never);
  assert.equal((await source.agent.vms.get(spec.vm, never)).migration?.targetNode, 'b');
  await assert.rejects(source.agent.vms.delete(spec.vm, FORCE, never), { reason: 'VM_BUSY' });
  assert.ok(!events.some(({ type }) => type === 'deleted'));

  source.agent.life.kill();
  await until('the next agent lives', () => !source.agent.life.killed);
  await until('it has looked', () => source.agent.inventory.listedOnce);
  await assert.rejects(source.agent.vms.delete(spec.vm, FORCE, never), {
    reason: 'VM_BUSY',
    message: /its migration to node b has not ended/,
  });
  source.wire.unreachable = false;
  await nodes.assertRunsOn(nodes.destination);
  await assert.rejects(source.agent.vms.delete(spec.vm, FORCE, never), { reason: 'VM_NOT_OWNED' });
});

test('a stale copy is not migrated, and its owner is named', async () => {
  using nodes = await TwoNodes.open();
  const { source, spec, vm } = nodes;
  await source.hypervisor.domains.destroy(vm.uid, never);
  await source.agent.ownership.release(vm, vm.ownershipEpoch + 1, 'c');
  const { blockers } = await source.agent.migrations.plan(spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => [reason, nodeName]),
    [['VM_NOT_OWNED', 'a']],
  );
  await assert.rejects(nodes.start(), { reason: 'VM_NOT_OWNED', message: /node c owns it/ });
  assert.equal(await nodes.destination.find(vm.uid), undefined);
});

test('what arrives names its new host as its owner, in what runs and in what the next start takes', async () => {
  using nodes = await TwoNodes.open();
  const { destination, vm } = nodes;
  await nodes.start();
  await nodes.ended();
  const { definition, liveDefinition } = (await destination.find(vm.uid)) ?? {};
  const { hostUuid } = destination.hypervisor;
  assert.deepEqual([definition?.owner, definition?.ownershipEpoch], [hostUuid, 2]);
  assert.equal(liveDefinition, undefined);
});
