import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const POOL = '/sys/kernel/mm/hugepages/hugepages-2048kB';
const MACHINE = {
  resources: { cpu: '1', memory: '64Mi' },
  memory: { hugepages: '2Mi' },
} as const;
const PAGES = 32;

const free = () => Number(readFileSync(`${POOL}/free_hugepages`, 'utf8'));

/** The kernel gives as many as it has in one piece; without any the test is of no use. */
function reserve(): Disposable & { readonly problem: string | undefined } {
  const total = Number(readFileSync(`${POOL}/nr_hugepages`, 'utf8'));
  const missing = PAGES - free();
  if (missing > 0) writeFileSync(`${POOL}/nr_hugepages`, String(total + missing));
  const problem = free() < PAGES ? 'needs 32 huge pages of 2 MiB' : undefined;
  return {
    problem,
    [Symbol.dispose]: () => writeFileSync(`${POOL}/nr_hugepages`, String(total)),
  };
}

describe('huge pages', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    // libvirt looks for such mounts when it starts.
    node.run('mount', '-t', 'hugetlbfs', 'none', '/dev/hugepages', '--mkdir');
    await node.killDaemon();
    await node.startDaemon();
    hypervisor = stack.use(await openHypervisor(node, UNHURRIED));
  });
  after(() => stack.disposeAsync());

  test('are what the memory of a VM is made of, and no others are', async (context) => {
    using pool = reserve();
    if (pool.problem !== undefined) return context.skip(pool.problem);
    const vm = tinyVm({}, MACHINE);
    const before = free();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const found = await hypervisor.domains.find(vm.uid, never);
    assert.deepEqual([found?.drift, found?.hugepages], [[], '2Mi']);
    // Those that are promised to the process and not in use yet are as good as taken.
    const promised = Number(readFileSync(`${POOL}/resv_hugepages`, 'utf8'));
    assert.ok(before - free() + promised >= PAGES, `${before} ${free()} ${promised}`);
    const { qemuVersion } = await hypervisor.host.getInfo(never);
    assert.deepEqual(
      await hypervisor.jobs.findObstacles(vm.uid, never),
      Number.parseInt(qemuVersion, 10) < 9 ? [{ kind: 'lossy-memory', cause: 'hugepages' }] : [],
    );
    await hypervisor.domains.destroy(vm.uid, never);
    assert.equal(free(), before);
    const { uid, name, namespace } = vm;
    await hypervisor.domains.define(tinyVm({ uid, name, namespace, generation: 2 }), never);
    assert.doesNotMatch(node.virsh('dumpxml', uid), /<hugepages/);
    await hypervisor.domains.start(uid, never);
    assert.deepEqual(await hypervisor.jobs.findObstacles(uid, never), []);
    await hypervisor.domains.destroy(uid, never);
    await hypervisor.domains.undefine(uid, never);
    return undefined;
  });

  test('of which too few are free keep a VM from starting, and it is said what to do', async () => {
    const vm = tinyVm({}, { ...MACHINE, resources: { cpu: '1', memory: '256Gi' } });
    await hypervisor.domains.define(vm, never);
    await assert.rejects(hypervisor.domains.start(vm.uid, never), (error: Error) => {
      assert.ok(hasReason(error, 'NODE_CAPACITY_EXCEEDED'), String(error));
      assert.match(error.message, /not as many huge pages .* free .*memory\.hugepages/);
      return true;
    });
    await hypervisor.domains.undefine(vm.uid, never);
  });
});
