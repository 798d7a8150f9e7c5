import type { BootSpec } from '../../../core/vm-spec.ts';
import { element, type XmlNode } from './xml-node.ts';

/** The value of `<os firmware=…>`: libvirt then finds a UEFI image by itself. */
export function firmwareAttribute(boot: BootSpec): 'efi' | undefined {
  return boot.kind === 'firmware' && boot.firmware === 'uefi' ? 'efi' : undefined;
}

/** What `<os>` holds besides the machine type. */
export function bootNodes(boot: BootSpec): readonly XmlNode[] {
  if (boot.kind === 'firmware') {
    if (boot.firmware === 'bios') return [];
    // Left open, libvirt takes the host's first image, which may or may not enforce secure boot.
    return [element('firmware', {}, element('feature', { enabled: 'no', name: 'secure-boot' }))];
  }
  return [
    element('kernel', {}, boot.kernelPath),
    ...(boot.initrdPath === undefined ? [] : [element('initrd', {}, boot.initrdPath)]),
    ...(boot.commandLine === '' ? [] : [element('cmdline', {}, boot.commandLine)]),
  ];
}
