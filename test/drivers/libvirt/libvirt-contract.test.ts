import { randomUUID } from 'node:crypto';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LocalDiskFiles } from '../../../src/drivers/images/local-disk-files.ts';
import { testHypervisor } from '../../contract/hypervisor-contract.ts';
import { type ChangeByHand, never, type VmSize } from '../../contract/hypervisor-fixture.ts';
import { makeQuickQemuImg } from '../../fixtures/quick-keys.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { agentKernel, bootGuest } from './agent-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

/** Of memory that was never touched QEMU sends 9 bytes a page: for 16 GiB 36 s at the pace of a slow migration. */
const MEMORY: Readonly<Record<VmSize, string>> = { small: '64Mi', medium: '2Gi', large: '16Gi' };

/** virsh's words for it, before and after the uid. */
const BY_HAND: Readonly<Record<ChangeByHand, readonly [string, ...string[]]>> = {
  memory: ['setmem', '48M', '--config'],
  volumes: ['detach-disk', 'vda', '--config'],
  networks: ['detach-interface', 'bridge', '--config'],
  persistence: ['undefine'],
};

testHypervisor(
  'LibvirtHypervisor',
  async () => {
    const pair = await LibvirtPair.start();
    const folder = mkdtempDisposableSync(path.join(tmpdir(), 'media-'));
    const mediumPath = path.join(folder.path, 'setup.iso');
    writeFileSync(mediumPath, Buffer.alloc(1024 * 1024));
    return {
      source: pair.source,
      destination: pair.destination,
      newDefinition: (size = 'small') =>
        tinyVm({}, { resources: { cpu: '1', memory: MEMORY[size] } }),
      async startGuest() {
        const kernel = await agentKernel('real');
        const vm = tinyVm({}, { resources: { cpu: '1', memory: '192Mi' }, kernel });
        await bootGuest(pair.source, vm);
        return vm;
      },
      mediumPath,
      makeDisk() {
        const disk = path.join(folder.path, `${randomUUID()}.raw`);
        writeFileSync(disk, Buffer.alloc(1024 * 1024));
        return disk;
      },
      // It has no system, and never gets beyond its firmware.
      keepDevices: () => ({ [Symbol.dispose]() {} }),
      async makeEncryptedDisk(key) {
        const at = path.join(folder.path, `${randomUUID()}.qcow2`);
        const encryption = { secret: 'disk-key' };
        const disk = { path: at, format: 'qcow2', bytes: 2 ** 23, encryption } as const;
        const files = new LocalDiskFiles({ binary: makeQuickQemuImg(folder.path) });
        await files.make({ ...disk, owner: undefined, key }, never);
        return disk;
      },
      async makeByHand() {
        const vm = tinyVm();
        const disk = path.join(folder.path, `${vm.uid}.raw`);
        writeFileSync(disk, Buffer.alloc(1024 * 1024));
        await pair.sourceNode.defineXml(xmlOf(vm.uid, disk));
        return vm;
      },
      openDrive(uid, volumeName) {
        moveTray(pair, uid, volumeName, 'blockdev-open-tray');
      },
      shutDrive(uid, volumeName) {
        moveTray(pair, uid, volumeName, 'blockdev-close-tray');
      },
      changeByHand(uid, part) {
        const [verb, ...values] = BY_HAND[part];
        pair.sourceNode.virsh(verb, uid, ...values);
      },
      migration: (definition, speed) => pair.migration(definition, speed),
      async [Symbol.asyncDispose]() {
        await pair[Symbol.asyncDispose]();
        folder[Symbol.dispose]();
      },
    };
  },
  skipReason(),
);

function moveTray(
  { sourceNode }: Pick<LibvirtPair, 'sourceNode'>,
  uid: string,
  volumeName: string,
  execute: 'blockdev-open-tray' | 'blockdev-close-tray',
): void {
  const command = { execute, arguments: { id: `ua-disk-${volumeName}` } };
  sourceNode.virsh('qemu-monitor-command', uid, JSON.stringify(command));
}

/** As virt-install would make it, but small. */
function xmlOf(uuid: string, disk: string): string {
  return `<domain type='qemu'>
    <name>made-${uuid.slice(0, 8)}</name>
    <uuid>${uuid}</uuid>
    <memory unit='MiB'>64</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type></os>
    <features><acpi/></features>
    <cpu mode='custom'><model>qemu64</model></cpu>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/>
        <source file='${disk}'/>
        <target dev='vda' bus='virtio'/>
      </disk>
      <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
      <serial type='pty'/>
      <sound model='ich9'/>
    </devices>
  </domain>`;
}
