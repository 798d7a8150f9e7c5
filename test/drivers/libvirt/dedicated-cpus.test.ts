import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { hypervisorNameOf } from '../../../src/drivers/hypervisor-domains.ts';
import type { NodeCpus } from '../../../src/drivers/libvirt/cpu-placement.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const DEDICATED = { cpu: { dedicated: true } } as const;
const CPUS = { dedicated: [1], shared: [0] } as const;
const obstacle = availableParallelism() < 2 ? 'needs two CPUs' : undefined;

const isVcpu = ({ name }: { readonly name: string }) => name.startsWith('CPU 0/');

describe('CPUs of a VM alone', { skip: skipReason() || obstacle }, () => {
  let node: PrivateLibvirt;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
  });
  after(() => stack.disposeAsync());

  const open = (cpus: NodeCpus | 'none' = CPUS): Promise<LibvirtHypervisor> =>
    openHypervisor(node, {
      ...UNHURRIED,
      nodeDefaults: () => ({
        accelerator: 'tcg',
        defaultMachineType: 'q35',
        defaultCpuModel: 'qemu64',
        consoleDirectory: node.consoleDirectory,
        cpus: cpus === 'none' ? undefined : cpus,
      }),
    });

  /** What the kernel lets the threads of its QEMU run on, each list once. */
  function allowedOf(vm: VmDefinition): {
    readonly vcpu: string | undefined;
    readonly others: readonly string[];
  } {
    const file = `/run/libvirt/qemu/${hypervisorNameOf(vm)}.pid`;
    const tasks = `/proc/${node.run('cat', file).trim()}/task`;
    const threads = node
      .run('ls', tasks)
      .trim()
      .split('\n')
      .map((thread) => {
        const status = node.run('cat', `${tasks}/${thread}/status`);
        const of = (key: string) => new RegExp(`^${key}:\\s+(.*)$`, 'm').exec(status)?.[1] ?? '';
        return { name: of('Name'), cpus: of('Cpus_allowed_list') };
      });
    return {
      vcpu: threads.find(isVcpu)?.cpus,
      others: [...new Set(threads.filter((one) => !isVcpu(one)).map(({ cpus }) => cpus))],
    };
  }

  test('are given to one at a time, whoever starts at once or after the agent, and given back', async () => {
    await using hypervisor = await open();
    const { domains } = hypervisor;
    const vms = [tinyVm({}, DEDICATED), tinyVm({}, DEDICATED)];
    for (const vm of vms) await domains.define(vm, never);
    const starts = await Promise.allSettled(vms.map((vm) => domains.start(vm.uid, never)));
    const [one, ...more] = vms.filter((_, index) => starts[index]?.status === 'fulfilled');
    const [other] = vms.filter((vm) => vm !== one);
    assert.ok(one !== undefined && other !== undefined && more.length === 0);
    assert.deepEqual(allowedOf(one), { vcpu: '1', others: ['0'] });
    assert.deepEqual((await domains.find(one.uid, never))?.drift, []);
    // An agent that knows nothing.
    await using anew = await open();
    await assert.rejects(anew.domains.start(other.uid, never), (error: Error) => {
      assert.ok(hasReason(error, 'NODE_CAPACITY_EXCEEDED'), String(error));
      assert.match(error.message, /of the 1 that this node sets apart 0 are left/);
      return true;
    });
    await domains.destroy(one.uid, never);
    await anew.domains.start(other.uid, never);
    assert.deepEqual(allowedOf(other), { vcpu: '1', others: ['0'] });
    await domains.destroy(other.uid, never);
    for (const vm of [one, other]) await domains.undefine(vm.uid, never);
  });

  test('are left to them by all others, and by one that has had them and is to share', async () => {
    await using hypervisor = await open();
    const { domains } = hypervisor;
    const vm = tinyVm();
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    assert.deepEqual(allowedOf(vm), { vcpu: '0', others: ['0'] });
    await domains.destroy(vm.uid, never);
    const { uid, name, namespace } = vm;
    await domains.define(tinyVm({ uid, name, namespace, generation: 2 }, DEDICATED), never);
    await domains.start(uid, never);
    assert.deepEqual(allowedOf(vm), { vcpu: '1', others: ['0'] });
    await domains.destroy(uid, never);
    await domains.define(tinyVm({ uid, name, namespace, generation: 3 }), never);
    assert.doesNotMatch(node.virsh('dumpxml', uid), /vcpupin/);
    await domains.start(uid, never);
    assert.deepEqual(allowedOf(vm), { vcpu: '0', others: ['0'] });
    await domains.destroy(uid, never);
    await domains.undefine(uid, never);
  });

  test('that somebody has pinned a domain to are not given a second time', async () => {
    await using hypervisor = await open();
    const { domains } = hypervisor;
    const foreign = tinyVm();
    await domains.define(foreign, never);
    await domains.start(foreign.uid, never);
    node.virsh('vcpupin', foreign.uid, '0', '1', '--live');
    const vm = tinyVm({}, DEDICATED);
    await domains.define(vm, never);
    await assert.rejects(domains.start(vm.uid, never), /sets apart 0 are left/);
    await domains.destroy(foreign.uid, never);
    for (const { uid } of [foreign, vm]) await domains.undefine(uid, never);
  });

  test('are not given a second time to one that goes on from saved memory', async () => {
    await using hypervisor = await open();
    const { domains } = hypervisor;
    const [saved, other] = [tinyVm({}, DEDICATED), tinyVm({}, DEDICATED)];
    for (const vm of [saved, other]) await domains.define(vm, never);
    await domains.start(saved.uid, never);
    node.virsh('managedsave', saved.uid);
    // What is defined since says nothing of the file.
    const { uid, name, namespace } = saved;
    await domains.define(tinyVm({ uid, name, namespace, generation: 2 }), never);
    await domains.start(other.uid, never);
    await assert.rejects(domains.start(uid, never), (error: Error) => {
      assert.ok(hasReason(error, 'NODE_CAPACITY_EXCEEDED'), String(error));
      assert.match(error.message, /its memory was saved while it had the CPUs 1 for itself/);
      return true;
    });
    await domains.destroy(other.uid, never);
    await domains.start(uid, never);
    assert.deepEqual(allowedOf(saved), { vcpu: '1', others: ['0'] });
    await assert.rejects(domains.start(other.uid, never), /sets apart 0 are left/);
    await domains.destroy(uid, never);
    for (const vm of [saved, other]) await domains.undefine(vm.uid, never);
  });

  test('are for everybody once none are set apart', async () => {
    const vm = tinyVm();
    await using parted = await open();
    await parted.domains.define(vm, never);
    const before = node.virsh('dumpxml', vm.uid);
    await parted.domains.start(vm.uid, never);
    for (const flags of [[], ['--inactive']]) {
      assert.match(node.virsh('dumpxml', ...flags, vm.uid), /sharedCpus="0"[^]*cpuset='0'/);
    }
    await parted.domains.destroy(vm.uid, never);
    await using whole = await open('none');
    await whole.domains.start(vm.uid, never);
    await whole.domains.destroy(vm.uid, never);
    assert.equal(node.virsh('dumpxml', vm.uid), before);
    await whole.domains.undefine(vm.uid, never);
  });
});
