import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { hypervisorNameOf } from '../../src/drivers/hypervisor-domains.ts';
import type { LibvirtHypervisor } from '../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { answers, openHypervisor } from '../drivers/libvirt/libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from '../drivers/libvirt/private-libvirt.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';

const never = new AbortController().signal;

describe('a start that libvirtd did not survive', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  before(async () => {
    node = await PrivateLibvirt.start();
  });
  after(() => node[Symbol.asyncDispose]());

  /** Kills libvirtd, and leaves what it leaves when that happens before it knows its QEMU's pid. */
  async function killInStart(hypervisor: LibvirtHypervisor, vm: VmDefinition): Promise<string> {
    const file = join(node.folder, 'run/libvirt/qemu', `${hypervisorNameOf(vm)}.xml`);
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const status = await readFile(file, 'utf8');
    await hypervisor.domains.destroy(vm.uid, never);
    await node.killDaemon();
    const lost = status
      .replace(/<domstatus .*>/, "<domstatus state='paused' reason='starting up' pid='0'>")
      .replace('</domstatus>', "<job type='none' async='start' flags='0x0'/></domstatus>");
    assert.notEqual(lost, status);
    await writeFile(file, lost);
    return file;
  }

  test('is forgotten before the next libvirtd reads of it, so that the VM can be started again', async () => {
    await using hypervisor = await openHypervisor(node);
    const vm = tinyVm();
    const file = await killInStart(hypervisor, vm);
    await waitFor('it is forgotten', () => !existsSync(file));
    await node.startDaemon();
    await waitFor('the driver is back', () => answers(hypervisor));
    assert.equal((await hypervisor.domains.find(vm.uid, never))?.state, 'stopped');
    await hypervisor.domains.start(vm.uid, never);
    assert.equal((await hypervisor.domains.find(vm.uid, never))?.state, 'running');
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });

  test('of which libvirt has read is told with what to do, and holds up no listing', async () => {
    // The driver looks for the file elsewhere.
    await using hypervisor = await openHypervisor(node, { libvirtSocket: '/nowhere/libvirt-sock' });
    const vm = tinyVm();
    const file = await killInStart(hypervisor, vm);
    await node.startDaemon();
    await waitFor('the driver is back', () => answers(hypervisor));
    const refused = assert.rejects(hypervisor.domains.start(vm.uid, never), {
      reason: 'HYPERVISOR_FAILURE',
      message: new RegExp(`remove .*${vm.name}.xml`),
    });
    const beginMs = performance.now();
    for (let count = 0; count < 10; count += 1) {
      const [listed] = await hypervisor.domains.list(never);
      assert.deepEqual([listed?.state, listed?.stateReason], ['paused', 'starting-up']);
    }
    assert.ok(performance.now() - beginMs < 5_000, 'each listing has waited for the VM');
    await refused;
    // What it says to do helps.
    await node.killDaemon();
    node.run('rm', file.slice(node.folder.length));
    await node.startDaemon();
    await waitFor('the driver is back', () => answers(hypervisor));
    await hypervisor.domains.start(vm.uid, never);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });
});
