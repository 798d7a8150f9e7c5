import type { DemoGuest } from '../../../lab/guest/demo-guest.ts';
import type { LabNode } from '../../../lab/node/lab-node.ts';

/** Inside of nodes. */
export const CONSOLE_LOG = '/var/log/libvirt/qemu/direct-console.log';

const MEMORY_KIB = 256 * 1024;
// TCG before QEMU 9 loses dirty pages of a RAM block whose size is a multiple of 256 KiB.
const ODD_MEMORY_KIB = MEMORY_KIB + 8;

/** Starts the demo guest by libvirt alone, without an agent. */
export async function startDomain(
  node: LabNode,
  guest: DemoGuest,
  signal: AbortSignal,
  /** A raw image, which the guest writes to. */
  disk?: string,
): Promise<void> {
  const work = disk === undefined ? '' : ' demo.disk=1M';
  const xml = domainXml(guest, `demo.region=32M demo.fill=32M${work}`, disk);
  await node.run(['sh', '-c', 'cat >/run/direct.xml'], signal, { input: xml });
  await node.libvirt.virsh(['define', '/run/direct.xml'], signal);
  await node.libvirt.virsh(['start', 'direct'], signal);
}

function domainXml(guest: DemoGuest, parameters: string, disk: string | undefined): string {
  const memory = `memory-backend-ram,id=ram0,size=${ODD_MEMORY_KIB * 1024}`;
  const machine = ['-machine', 'memory-backend=ram0', '-m', `${ODD_MEMORY_KIB}k`];
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>direct</name>
  <memory unit='KiB'>${MEMORY_KIB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type machine='q35'>hvm</type>
    <kernel>${guest.kernelPath}</kernel>
    <initrd>${guest.initrdPath}</initrd>
    <cmdline>${guest.commandLine} ${parameters}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom'><model>qemu64</model></cpu>
  <devices>
    ${disk === undefined ? '' : diskXml(disk)}
    <serial type='pty'><log file='${CONSOLE_LOG}' append='on'/></serial>
    <memballoon model='none'/>
  </devices>
  <qemu:commandline>
    ${['-object', memory, ...machine].map((argument) => `<qemu:arg value='${argument}'/>`).join('\n    ')}
  </qemu:commandline>
</domain>`;
}

function diskXml(path: string): string {
  return `<disk type='file' device='disk'><driver name='qemu' type='raw' cache='none'/>
      <source file='${path}'/><target dev='vda' bus='virtio'/></disk>`;
}
