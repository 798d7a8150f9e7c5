import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  allocatableOf,
  amountsOf,
  capacityOf,
  findShortage,
  sumOf,
} from '../../../../src/agent/node/amounts.ts';
import { fakeHost } from '../../../fakes/fake-host.ts';
import { GIB, MIB, machineOf } from './vms-of-a-node.ts';

test('a machine takes the memory of its guest and what QEMU needs for itself', () => {
  const machine = { resources: { cpu: '2', memory: '1Gi' } };
  const qemu = 64 * MIB + 2 * 8 * MIB + GIB / 256;
  assert.deepEqual(amountsOf(machine), { cpu: 2_000, memory: GIB + qemu });
});

test('a part of a CPU counts as the whole one that the guest is given', () => {
  assert.equal(amountsOf({ resources: { cpu: '1500m', memory: '64Mi' } })['cpu'], 2_000);
});

function inPagesOf(hugepages: '2Mi' | '1Gi') {
  return amountsOf(machineOf('1536Mi', { memory: { hugepages } }));
}

test('a guest in huge pages takes whole ones, and memory only for QEMU', () => {
  const plain = amountsOf(machineOf('1536Mi'));
  const memory = (plain['memory'] ?? 0) - 1536 * MIB;
  assert.deepEqual(inPagesOf('1Gi'), { cpu: 1_000, memory, 'hugepages-1Gi': 2 * GIB });
  assert.deepEqual(inPagesOf('2Mi'), { cpu: 1_000, memory, 'hugepages-2Mi': 1536 * MIB });
});

test('of a host VMs may have what is neither kept for it nor in huge pages', () => {
  const host = fakeHost({ cpus: 8, memoryBytes: 16 * GIB, hugepages: { '1Gi': 4 * GIB } });
  assert.deepEqual(capacityOf(host, 0), {
    cpu: 8_000,
    memory: 16 * GIB,
    'hugepages-1Gi': 4 * GIB,
  });
  assert.deepEqual(allocatableOf(host, GIB, 0), {
    cpu: 8_000,
    memory: 11 * GIB,
    'hugepages-1Gi': 4 * GIB,
  });
});

test('a host that keeps all for itself has nothing for VMs, and never less', () => {
  assert.equal(allocatableOf(fakeHost({ memoryBytes: GIB }), 2 * GIB, 0)['memory'], 0);
});

test('amounts are added resource by resource', () => {
  const parts = [{ cpu: 1 }, { cpu: 2, memory: 5 }, { 'hugepages-2Mi': 3 }];
  assert.deepEqual(sumOf(parts), { cpu: 3, memory: 5, 'hugepages-2Mi': 3 });
});

test('all that is left may be taken, and not one byte more', () => {
  assert.equal(findShortage({ memory: 4 }, { memory: 6 }, { memory: 10 }), undefined);
  assert.deepEqual(findShortage({ memory: 5 }, { memory: 6 }, { memory: 10 }), {
    resource: 'memory',
    wanted: 5,
    left: 4,
  });
});

test('what the node does not have is short, and what is overdrawn has nothing left', () => {
  const wanted = { 'hugepages-1Gi': 5 };
  assert.equal(findShortage(wanted, {}, {})?.left, 0);
  assert.equal(findShortage({ memory: 1 }, { memory: 12 }, { memory: 10 })?.left, 0);
});

test('CPUs are shared, so they are never short', () => {
  assert.equal(findShortage({ cpu: 64_000 }, { cpu: 64_000 }, { cpu: 4_000 }), undefined);
});

test('who wants nothing is not kept out of a node that has nothing left', () => {
  assert.equal(findShortage({ memory: 0 }, { memory: 12 }, { memory: 10 }), undefined);
});

test('CPUs that a VM has for itself are not those that others share', () => {
  const machine = machineOf('64Mi', { cpu: { dedicated: true } });
  const { cpu, 'dedicated-cpus': dedicated } = amountsOf(machine);
  assert.deepEqual([cpu, dedicated], [undefined, 1]);
  const host = fakeHost({ cpus: 8 });
  assert.deepEqual([capacityOf(host, 6)['cpu'], capacityOf(host, 6)['dedicated-cpus']], [8_000, 6]);
  const allocatable = allocatableOf(host, 0, 6);
  assert.deepEqual([allocatable['cpu'], allocatable['dedicated-cpus']], [2_000, 6]);
});
