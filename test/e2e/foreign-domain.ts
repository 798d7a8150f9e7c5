import { DEMO_DISK_SIZE } from '../../lab/guest/demo-disk.ts';
import type { DemoGuest } from '../../lab/guest/demo-guest.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';

/** A domain that boots the demo guest, as somebody makes one with virt-install: no agent has had a hand in it. */
export function foreignDomain(
  guest: DemoGuest,
  { name, diskPath }: { readonly name: string; readonly diskPath: string },
): string {
  const parameters = `demo.region=32M demo.fill=16M demo.rate=1000 demo.disk=${DEMO_DISK_SIZE}`;
  return `<domain type='qemu'>
  <name>${name}</name>
  <title>The shop</title>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
      <libosinfo:os id="http://debian.org/debian/12"/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>262144</memory>
  <vcpu placement='static'>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${guest.kernelPath}</kernel>
    <initrd>${guest.initrdPath}</initrd>
    <cmdline>${guest.commandLine} ${parameters}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
  <clock offset='utc'/>
  <on_crash>restart</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' discard='unmap'/>
      <source file='${diskPath}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='cdrom'>
      <target dev='sda' bus='sata'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='52:54:00:5a:0b:01'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <serial type='pty'><target port='0'/></serial>
    <console type='pty'><target type='serial' port='0'/></console>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1'/>
    <sound model='ich9'/>
    <video><model type='vga'/></video>
    <memballoon model='virtio'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
`;
}

/** Of the QEMU that runs a domain on a node. */
export function pidOfDomain(node: LabNode, name: string): number | undefined {
  return node.processes().find(({ command }) => command.includes(`guest=${name},`))?.pid;
}
