import assert from 'node:assert/strict';
import { test } from 'node:test';
import { foreignOf } from '../../../../src/agent/vms/foreign-vms.ts';
import { memoryBytesOf } from '../../../../src/core/resources/machine-amounts.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { newFakeVm, toHypervisorVm, toVmStatistics } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, newRequest, OneNode } from './one-node.ts';

const OPTIONS = { dryRun: false, reservationId: undefined };
const vm = tinyVm();
const memoryBytes = memoryBytesOf(vm.spec.template.spec);

function found(changes: Partial<HypervisorVm>): HypervisorVm {
  const running = { ...toHypervisorVm(newFakeVm(vm)), state: 'running' } as const;
  return { ...running, definition: undefined, ...changes };
}

function foreignAmong(changes: Partial<HypervisorVm>): readonly number[] {
  return foreignOf([found(changes)], new Map()).map((each) => each.memoryBytes);
}

test('of the VMs of others those count that are on or arrive, and none of ours or that may be ours', () => {
  for (const state of ['running', 'paused', 'shutting-down', 'incoming', 'unknown'] as const) {
    assert.deepEqual(foreignAmong({ state }), [memoryBytes], state);
  }
  for (const state of ['stopped'] as const) assert.deepEqual(foreignAmong({ state }), [], state);
  assert.deepEqual(foreignAmong({ definition: vm }), []);
  assert.deepEqual(foreignAmong({ isRead: false }), []);
});

test('one whose definition means nothing counts with what it has now', () => {
  const usage = new Map([[vm.uid, toVmStatistics(newFakeVm(vm))]]);
  const [foreign] = foreignOf([found({ memoryBytes: 0 })], usage);
  assert.equal(foreign?.memoryBytes, memoryBytes);
});

test('a VM that is too large beside a VM of somebody else is not made, and the other is named', async () => {
  await using node = await OneNode.open({ memoryVms: 1 });
  const theirs = tinyVm({ name: 'theirs' });
  await node.hypervisor.domains.define(theirs, never);
  await node.hypervisor.domains.start(theirs.uid, never);
  node.hypervisor.addForeign(theirs.uid);
  await node.agent.inventory.refresh(never);
  const request = newRequest();
  await assert.rejects(node.agent.vms.create(request, OPTIONS, never), {
    reason: 'NODE_CAPACITY_EXCEEDED',
    message: /VMs that were not made by an agent have .*test_theirs/,
  });
  const { foreign, allocated } = await node.agent.node.get(never);
  assert.ok((foreign['memory'] ?? 0) > memoryBytes);
  assert.equal(allocated['memory'], foreign['memory']);
});
