import { hasSeed } from '../../../../core/cloud-init-seed.ts';
import type { Machine } from '../../../../core/resources/machine.ts';
import { busOf, type Volume } from '../../../../core/resources/volume.ts';

/** No volume of a machine can be called so. */
const NAME = 'cloud_init';

/** What a machine has in the place of disks: its volumes, and what cloud-init in its guest reads if it has that. */
export function allVolumes(machine: Machine, seedPath: string): readonly Volume[] {
  const { volumes = [] } = machine;
  return hasSeed(machine) ? [...volumes, seedVolume(volumes, seedPath)] : volumes;
}

/** Whether a volume of ours is that of cloud-init. */
export function isSeed(volume: { readonly isOurs: boolean; readonly name: string }): boolean {
  return volume.isOurs && volume.name === NAME;
}

/**
 * On the bus of the guest's own disk, as many know no other: kernels that are made for clouds, such as Debian's, find no CD-ROM on SATA. On virtio there
 * are no CD-ROMs; a disk that cannot be written to is the same to cloud-init.
 */
function seedVolume(volumes: readonly Volume[], path: string): Volume {
  const disks = volumes.filter(({ kind }) => kind === 'disk');
  const [own] = disks.toSorted((left, right) => orderOf(left) - orderOf(right));
  const bus = own === undefined ? 'virtio' : busOf(own);
  const kind = bus === 'sata' || bus === 'scsi' ? 'cdrom' : 'disk';
  return {
    name: NAME,
    kind,
    bus,
    readOnly: true,
    format: 'raw',
    // Its folder may be on a file system that has no direct access.
    cache: 'writeback',
    source: { file: { path } },
  };
}

function orderOf({ bootOrder = Infinity }: Volume): number {
  return bootOrder;
}
