import { createHash } from 'node:crypto';
import type { DiskSpec } from '../../../core/vm-spec.ts';
import { element, type XmlNode } from './xml-node.ts';

/** libvirt keeps aliases from users only with this start. */
export const DISK_ALIAS_PREFIX = 'ua-disk-';

/** virtio-blk and ATA give the guest 20 bytes of serial number. */
const MAX_SERIAL_LENGTH = 20;

export function diskNode(disk: DiskSpec): XmlNode {
  return element(
    'disk',
    { type: 'file', device: diskDevice(disk) },
    element('driver', {
      name: 'qemu',
      type: disk.format,
      cache: disk.cache,
      // A full or failing disk pauses the VM, which can be mended; an error in the guest seldom can.
      error_policy: 'stop',
      discard: 'unmap',
    }),
    element('source', { file: disk.path }),
    element('target', { dev: disk.target, bus: disk.bus }),
    // `shared` is not <shareable/>: that would let two VMs write the image at once.
    disk.readOnly ? element('readonly') : undefined,
    element('serial', {}, diskSerial(disk.name)),
    disk.bootOrder === undefined ? undefined : element('boot', { order: String(disk.bootOrder) }),
    element('alias', { name: DISK_ALIAS_PREFIX + disk.name }),
    disk.bus === 'scsi' ? scsiAddress(disk.target) : undefined,
  );
}

/** QEMU has no read-only ATA disk, so a read-only one is a CD-ROM. */
export function diskDevice(disk: DiskSpec): 'disk' | 'cdrom' {
  return disk.bus === 'sata' && disk.readOnly ? 'cdrom' : 'disk';
}

/** What the guest finds under /dev/disk/by-id: the name, or for a long one its start and a hash. */
function diskSerial(name: string): string {
  if (name.length <= MAX_SERIAL_LENGTH) return name;
  const hash = createHash('sha256').update(name).digest('hex');
  return `${name.slice(0, MAX_SERIAL_LENGTH - 9)}-${hash.slice(0, 8)}`;
}

/** All SCSI disks share one controller; libvirt by itself would start another after seven disks. */
function scsiAddress(target: string): XmlNode {
  const unit = String(Math.max(target.charCodeAt(2) - 'a'.charCodeAt(0), 0));
  return element('address', { type: 'drive', controller: '0', bus: '0', target: '0', unit });
}

export function scsiControllerNode(): XmlNode {
  return element('controller', { type: 'scsi', index: '0', model: 'virtio-scsi' });
}
