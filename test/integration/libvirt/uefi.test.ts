import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor } from './libvirt-pair.ts';
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
    const variables = path.join(
      node.folder,
      `var/lib/libvirt/qemu/nvram/${vm.namespace}_${vm.name}_VARS.fd`,
    );
    assert.ok(existsSync(variables));
    await hypervisor.domains.destroy(vm.uid, never);

    const changed = { ...vm, generation: 2, spec: tinyVm().spec };
    await hypervisor.domains.define(changed, never);
    await hypervisor.domains.start(vm.uid, never);
    assert.doesNotMatch(node.virsh('dumpxml', vm.uid), /<loader|<nvram|<os firmware/);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
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

  test('deleting a VM removes its UEFI variables', async () => {
    const vm = uefiVm();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
    const folder = path.join(node.folder, 'var/lib/libvirt/qemu/nvram');
    assert.equal(existsSync(path.join(folder, `${vm.namespace}_${vm.name}_VARS.fd`)), false);
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

function uefiVm(machine: Partial<Machine> = {}): VmDefinition {
  return tinyVm({}, { firmware: { type: 'uefi' }, ...machine });
}
