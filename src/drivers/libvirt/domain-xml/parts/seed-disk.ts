import type { Machine } from '../../../../core/resources/machine.ts';
import { busOf, type Volume, type VolumeBus } from '../../../../core/resources/volume.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, findElement } from '../xml-query.ts';

/** libvirt keeps aliases from users only with the first three letters. */
export const SEED_ALIAS = 'ua-seed';

/** Whether a disk of a domain is the one for cloud-init. */
export function isSeed(disk: XmlElement): boolean {
  return attributeOf(findElement(disk, 'alias'), 'name') === SEED_ALIAS;
}

/**
 * The bus of the guest's own disk, as many know no other: kernels that are made for clouds, such as Debian's, find no CD-ROM on
 * SATA.
 */
export function seedBusOf({ volumes = [] }: Machine): VolumeBus {
  const disks = volumes.filter(({ kind }) => kind === 'disk');
  const [own] = disks.toSorted((left, right) => orderOf(left) - orderOf(right));
  const bus = own === undefined ? 'virtio' : busOf(own);
  return bus === 'scsi' || bus === 'sata' ? bus : 'virtio';
}

function orderOf({ bootOrder = Number.MAX_SAFE_INTEGER }: Volume): number {
  return bootOrder;
}
