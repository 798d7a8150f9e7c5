import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { KILLS, SurvivingNode } from './surviving-node.ts';

/* What a VM has beside its domain: variables of UEFI, the state of a TPM, a disk for cloud-init, private files, disks, hooks. */

function vmWith(userData: string, volumes: readonly object[]) {
  const spec = {
    runStrategy: 'Once',
    template: {
      spec: {
        resources: { cpu: 1, memory: '128Mi', disk: '1Gi' },
        firmware: { type: 'uefi', tpm: { version: '2.0' } },
        volumes,
        userData,
        cloudInit: { hostname: 'whole' },
        lifecycle: { preStart: { exec: { command: ['/run/hooks/note', 'made'] } } },
      },
    },
  };
  return toVirtualMachineMessage(parseVirtualMachine({ metadata: { name: 'whole' }, spec }));
}

const DATA = { name: 'data', size: '16Mi', format: 'raw' };

const disksOf = (uid: string) => [`${uid}-data.raw`, `${uid}-root.qcow2`];

for (const [victim, kill] of Object.entries(KILLS)) {
  test(`all that belongs to a VM is there once, and gone with it, when ${victim} is killed meanwhile`, async ({
    signal,
  }) => {
    await using surviving = await SurvivingNode.start(kill, signal);
    const { node, client, lab } = surviving;
    const { vms } = client;
    const ref = { name: 'whole' };
    const survive = surviving.survive.bind(surviving);
    const listed = async (folder: string) => {
      const at = node.outside(folder);
      return existsSync(at) ? await readdir(at) : [];
    };
    /** Of the VM, by its uid, wherever something of one may lie. */
    const files = async (uid: string) => {
      const folders = [
        'var/lib/libvirt/qemu/nvram',
        'var/lib/libvirt/swtpm',
        'var/lib/libvirt/cloud-init',
      ];
      const there = await Promise.all(folders.map(listed));
      const disks = await readdir(lab.plan.sharedImages);
      return [...there.flat(), ...disks].filter((name) => name.includes(uid)).toSorted();
    };

    await survive((operationId) =>
      vms.create(vmWith('#cloud-config', []), { signal, operationId }),
    );
    await surviving.stateIs('whole', 'running');
    const { metadata } = await vms.get(ref, { signal });
    const uid = metadata?.uid ?? assert.fail('a VM without a uid');
    const made = [uid, `${uid}-cloud-init.iso`, `${uid}-root.qcow2`, `${uid}_VARS.fd`].toSorted();
    assert.deepEqual(await files(uid), made);

    const other = vmWith('#cloud-config\nlocale: C\n', [DATA]);
    await survive((operationId) => vms.apply(other, { signal, operationId }));
    assert.deepEqual(await files(uid), [...made, `${uid}-data.raw`].toSorted());
    await survive((operationId) => vms.destroy(ref, { signal, operationId }));
    await survive((operationId) => vms.start(ref, { signal, operationId }));
    await surviving.stateIs('whole', 'running');
    const blocks = await node.libvirt.virsh(['domblklist', 'default_whole'], signal);
    for (const disk of disksOf(uid)) assert.ok(blocks.includes(disk), blocks);
    await survive((operationId) => vms.destroy(ref, { signal, operationId }));
    await survive((operationId) => vms.delete(ref, { signal, operationId, deleteDisks: true }));
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
    const isNothingLeft = async () => (await files(uid)).length === 0;
    await waitUntil('nothing is left of it', PATIENCE_MS, isNothingLeft, signal);
  });
}
