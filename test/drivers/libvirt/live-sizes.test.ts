import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LiveChange } from '../../../src/drivers/hypervisor-devices.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { agentKernel, bootGuest } from './agent-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from './private-libvirt.ts';

const never = new AbortController().signal;
const MIB = 2 ** 20;
const CPU = 'spec.template.spec.resources.cpu';
const MEMORY = 'spec.template.spec.resources.memory';

const lackOf = (changes: readonly LiveChange[], field: string) =>
  changes.find((one) => one.field === field)?.lack ?? '';
const isAllDone = (changes: readonly LiveChange[]) =>
  changes.every(({ state }) => state === 'done');

describe('a guest that uses nothing of what it is given unless it is told to', {
  skip: skipReason(),
}, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  let vm: VmDefinition;
  let generation = 1;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node, UNHURRIED));
    const kernel = await agentKernel('real');
    const commandLine = `${kernel.commandLine} memhp_default_state=offline`;
    vm = tinyVm(
      {},
      {
        resources: { cpu: '1', memory: '256Mi' },
        cpu: { max: 2 },
        memory: { max: '512Mi' },
        kernel: { ...kernel, commandLine },
      },
    );
    await bootGuest(hypervisor, vm);
  });
  after(() => stack.disposeAsync());

  async function change(resources: Machine['resources']): Promise<readonly LiveChange[]> {
    const { spec } = vm;
    const machine = { ...spec.template.spec, resources };
    generation += 1;
    const next = { ...spec, template: { ...spec.template, spec: machine } };
    await hypervisor.domains.define({ ...vm, generation, spec: next }, never);
    return await hypervisor.devices.changeLive(vm.uid, never);
  }

  async function runInGuest(text: string): Promise<void> {
    const { guestAgent } = hypervisor;
    const command = { program: 'sh', args: ['-c', text], stdin: new Uint8Array() };
    const pid = await guestAgent.startCommand(vm.uid, command, never);
    await waitFor('the program has ended', async () => {
      const end = await guestAgent.findCommandEnd(vm.uid, pid, never);
      return end !== undefined && end.exitCode === 0;
    });
  }

  /** What is waited for, once the guest has done all that it does by itself. */
  async function settled(isSettled: (changes: readonly LiveChange[]) => boolean) {
    let changes: readonly LiveChange[] = [];
    await waitFor('the guest has done its part', async () => {
      changes = await hypervisor.devices.changeLive(vm.uid, never);
      return isSettled(changes);
    });
    return changes;
  }

  test('is told of as what it uses, and not as done', async () => {
    await change({ cpu: '2', memory: '384Mi' });
    const changes = await settled((all) => /offline/.test(lackOf(all, MEMORY)));
    assert.ok(changes.every(({ state }) => state === 'asked'));
    assert.match(lackOf(changes, CPU), /^2 CPUs, 1 online/);
    assert.equal(changes.find(({ field }) => field === CPU)?.cpusOnline, 1);
    assert.match(lackOf(changes, MEMORY), /^384Mi, of which 128Mi is offline/);
    const found = await hypervisor.domains.find(vm.uid, never);
    assert.deepEqual(found?.sizes?.vcpus, { given: 2, least: 2, most: 2 });
    assert.equal(found.sizes.memory.givenBytes, 384 * MIB);
    assert.notEqual(found.liveDefinition, undefined);
  });

  test('is done once it does, and what it is given goes back', async () => {
    await runInGuest(
      'echo 1 > /sys/devices/system/cpu/cpu1/online; for block in /sys/devices/system/memory/memory*; do read state < $block/state; if [ $state = offline ]; then echo online_movable > $block/state; fi; done',
    );
    await settled(isAllDone);
    const found = await hypervisor.domains.find(vm.uid, never);
    assert.deepEqual([found?.liveDefinition, found?.drift], [undefined, []]);
    // All that was added, and some of what it began with.
    await change({ cpu: '2', memory: '224Mi' });
    await settled(isAllDone);
    const less = node.virsh('dumpxml', vm.uid);
    assert.match(less, /<requested unit='KiB'>0<\/requested>/);
    assert.match(less, new RegExp(`<currentMemory unit='KiB'>${224 * 1024}</currentMemory>`));
    await change({ cpu: '2', memory: '256Mi' });
    await settled(isAllDone);
  });

  test('keeps its CPUs without KVM, of which QEMU does not say that they have gone', async () => {
    assert.deepEqual(await change({ cpu: '1', memory: '256Mi' }), []);
    const found = await hypervisor.domains.find(vm.uid, never);
    assert.equal(found?.sizes?.vcpus.given, 2);
  });

  test('is not moved by a QEMU that would lose some of its memory', async () => {
    const { qemuVersion } = await hypervisor.host.getInfo(never);
    const isOld = Number.parseInt(qemuVersion, 10) < 9;
    assert.deepEqual(
      await hypervisor.jobs.findObstacles(vm.uid, never),
      isOld ? [{ kind: 'lossy-memory', cause: 'growth' }] : [],
    );
    const found = await hypervisor.domains.find(vm.uid, never);
    assert.equal(found?.lossyMemory, isOld ? 'growth' : undefined);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });
});
