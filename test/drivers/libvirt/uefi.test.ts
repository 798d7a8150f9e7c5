import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import { type Machine, machine as machineSchema } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair, openHypervisor } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const DESCRIPTORS = '/usr/share/qemu/firmware';

// libvirt 9.0 chooses the UEFI image when the VM starts, 11.3 when it is defined.
describe('UEFI', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node));
  });
  after(() => stack.disposeAsync());

  test('a VM starts with it, and with BIOS after it was changed', async () => {
    const vm = uefiVm();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    assert.match(node.virsh('dumpxml', vm.uid), /<loader [^>]*type='pflash'/);
    assert.deepEqual((await hypervisor.domains.find(vm.uid, never))?.definition, vm);
    assert.ok(existsSync(variablesOf(node, vm.uid)));
    await hypervisor.domains.destroy(vm.uid, never);

    const changed = { ...vm, generation: 2, spec: tinyVm().spec };
    await hypervisor.domains.define(changed, never);
    await hypervisor.domains.start(vm.uid, never);
    assert.doesNotMatch(node.virsh('dumpxml', vm.uid), /<loader|<nvram|<os firmware/);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
    assert.ok(!existsSync(variablesOf(node, vm.uid)));
  });

  test('a kernel is given to it directly beside it', async () => {
    const kernel = path.join(node.folder, 'vmlinuz');
    // As much as QEMU reads before it leaves the rest to the firmware.
    await writeFile(kernel, Buffer.alloc(8192));
    const vm = uefiVm({ kernel: { path: kernel, commandLine: 'console=ttyS0' } });
    await hypervisor.domains.define(vm, never);
    const xml = node.virsh('dumpxml', vm.uid);
    assert.match(xml, /<os firmware='efi'>/);
    assert.match(xml, /<kernel>.*<\/kernel>\s*<cmdline>console=ttyS0<\/cmdline>/);
    node.virsh('start', '--paused', vm.uid);
    assert.match(node.virsh('dumpxml', vm.uid), /<loader [^>]*type='pflash'/);
    assert.deepEqual((await hypervisor.domains.find(vm.uid, never))?.definition, vm);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });

  test('a VM never starts with the variables of a namesake', async () => {
    const first = uefiVm();
    await hypervisor.domains.define(first, never);
    await hypervisor.domains.start(first.uid, never);
    await hypervisor.domains.destroy(first.uid, never);
    const fresh = await readFile(variablesOf(node, first.uid));
    await writeFile(variablesOf(node, first.uid), spoilt(fresh));
    // As other tools, or a migration, leave the file behind.
    node.virsh('undefine', '--keep-nvram', first.uid);
    const { name, namespace } = first;
    const second = { ...uefiVm(), name, namespace };
    await hypervisor.domains.define(second, never);
    await hypervisor.domains.start(second.uid, never);
    assert.ok(node.virsh('dumpxml', second.uid).includes(`/${second.uid}_VARS.fd</nvram>`));
    assert.notDeepEqual(await readFile(variablesOf(node, second.uid)), spoilt(fresh));
    await hypervisor.domains.destroy(second.uid, never);
    await hypervisor.domains.undefine(second.uid, never);
  });

  test('a VM of an earlier version keeps its variables where they are until it moves, and takes them along', async () => {
    await using pair = await LibvirtPair.start();
    const vm = uefiVm();
    await pair.source.domains.define(vm, never);
    const xml = pair.sourceNode.virsh('dumpxml', vm.uid);
    const old = xml.replace(/<nvram[^>]*>.*?<\/nvram>/, '');
    await pair.sourceNode.defineXml(old.replace(/<loader[^]*?<\/loader>/, ''));
    await pair.source.domains.start(vm.uid, never);
    const byName = `var/lib/libvirt/qemu/nvram/${vm.namespace}_${vm.name}_VARS.fd`;
    assert.ok(existsSync(path.join(pair.sourceNode.folder, byName)));
    await pair.source.domains.destroy(vm.uid, never);
    const marked = await mark(path.join(pair.sourceNode.folder, byName));

    await pair.source.domains.define({ ...vm, generation: 2 }, never);
    await pair.source.domains.start(vm.uid, never);
    assert.ok(pair.sourceNode.virsh('dumpxml', vm.uid).includes(`/${path.basename(byName)}<`));

    await pair.source.jobs.migrate(vm.uid, pair.migration(vm, 'fast'), never);
    const arrived = await readFile(variablesOf(pair.destinationNode, vm.uid));
    assert.equal(arrived.indexOf(MARK), marked);
    assert.ok(!existsSync(path.join(pair.destinationNode.folder, byName)));
    await pair.destination.domains.destroy(vm.uid, never);
    await pair.destination.domains.start(vm.uid, never);
    assert.equal((await readFile(variablesOf(pair.destinationNode, vm.uid))).indexOf(MARK), marked);
  });

  test('a VM that was adopted takes its variables along, wherever somebody has put them', async () => {
    await using pair = await LibvirtPair.start();
    const { uid } = tinyVm();
    const elsewhere = path.join(pair.sourceNode.folder, 'of-somebody.fd');
    await pair.sourceNode.defineXml(`<domain type='qemu'>
      <name>theirs</name>
      <uuid>${uid}</uuid>
      <memory unit='MiB'>64</memory>
      <os firmware='efi'>
        <type arch='x86_64' machine='q35'>hvm</type>
        <kernel>/boot/vmlinuz</kernel>
        <nvram>${elsewhere}</nvram>
      </os>
      <features><acpi/></features>
      <cpu mode='custom'><model>qemu64</model></cpu>
      <devices/>
    </domain>`);
    const { domains } = pair.source;
    const adoptable = await domains.findAdoptable(uid, never);
    const spec = machineSchema.parse(adoptable?.machine);
    assert.deepEqual(spec.firmware, { type: 'uefi' });
    assert.ok(adoptable?.kept.includes(`nvram ${elsewhere}`));
    const vm = tinyVm({ uid, spec: { runStrategy: 'Manual', template: { spec } } });
    await domains.adopt(vm, never);
    assert.deepEqual((await domains.find(uid, never))?.drift, []);
    const { kernel: _, ...bootless } = spec;
    const changed = { ...vm, generation: 2, spec: { ...vm.spec, template: { spec: bootless } } };
    await domains.define(changed, never);
    await domains.start(uid, never);
    assert.ok(existsSync(elsewhere));
    await domains.destroy(uid, never);
    const marked = await mark(elsewhere);
    await domains.start(uid, never);
    await pair.source.jobs.migrate(uid, pair.migration(changed, 'fast'), never);
    const arrived = await readFile(variablesOf(pair.destinationNode, uid));
    assert.equal(arrived.indexOf(MARK), marked);
    assert.deepEqual((await pair.destination.domains.find(uid, never))?.drift, []);
    await pair.destination.domains.destroy(uid, never);
    await pair.destination.domains.undefine(uid, never);
    assert.ok(!existsSync(variablesOf(pair.destinationNode, uid)));
  });

  test('what libvirt has chosen for the run of a VM that is adopted is no change that waits', async () => {
    const { uid } = tinyVm();
    await node.defineXml(`<domain type='qemu'>
      <name>running</name>
      <uuid>${uid}</uuid>
      <memory unit='MiB'>64</memory>
      <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
      <features><acpi/></features>
      <cpu mode='custom'><model>qemu64</model></cpu>
      <devices>
        <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
      </devices>
    </domain>`);
    node.virsh('start', uid);
    const adoptable = await hypervisor.domains.findAdoptable(uid, never);
    const spec = machineSchema.parse(adoptable?.machine);
    const vm = tinyVm({ uid, spec: { runStrategy: 'Manual', template: { spec } } });
    await hypervisor.domains.adopt(vm, never);
    const found = await hypervisor.domains.find(uid, never);
    assert.deepEqual(
      [found?.definition, found?.liveDefinition, found?.drift, found?.state],
      [vm, undefined, [], 'running'],
    );
    await hypervisor.domains.destroy(uid, never);
    await hypervisor.domains.undefine(uid, never);
  });

  test('a node without a UEFI image says what it lacks', async () => {
    using undo = new DisposableStack();
    node.run('mount', '-t', 'tmpfs', 'none', DESCRIPTORS);
    undo.defer(() => node.run('umount', DESCRIPTORS));
    const vm = uefiVm();
    const attempt = async (): Promise<void> => {
      await hypervisor.domains.define(vm, never);
      await hypervisor.domains.start(vm.uid, never);
    };
    await assert.rejects(
      attempt,
      (error: Error) => hasReason(error, 'FEATURE_NOT_SUPPORTED') && /ovmf/.test(error.message),
    );
    await hypervisor.domains.undefine(vm.uid, never);
  });
});

const MARK = Buffer.from('this one has been here before');

function variablesOf(node: PrivateLibvirt, uid: string): string {
  return path.join(node.folder, `var/lib/libvirt/qemu/nvram/${uid}_VARS.fd`);
}

/** Writes something into the last bytes, which the firmware leaves alone; returns where. */
async function mark(file: string): Promise<number> {
  const content = await readFile(file);
  const at = content.length - MARK.length;
  MARK.copy(content, at);
  await writeFile(file, content);
  return at;
}

function spoilt(content: Buffer): Buffer {
  return Buffer.concat([content.subarray(0, content.length - MARK.length), MARK]);
}

function uefiVm(machine: Partial<Machine> = {}): VmDefinition {
  return tinyVm({}, { firmware: { type: 'uefi' }, ...machine });
}
