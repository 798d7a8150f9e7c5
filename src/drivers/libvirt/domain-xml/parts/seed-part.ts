import { AgentError } from '../../../../core/errors.ts';
import { hasSeed } from '../../../../core/resources/has-seed.ts';
import { targetsOn, type VolumeBus } from '../../../../core/resources/volume.ts';
import { type DomainPart, nextStart } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, findElement } from '../xml-query.ts';
import { isSeed, SEED_ALIAS, seedBusOf } from './seed-disk.ts';
import {
  type DiskPlace,
  driveAddress,
  placeOf,
  placeVolumes,
  scsiAddress,
  targetIndexOf,
} from './volume-nodes.ts';
import { diskElements, placesWith } from './volumes-part.ts';

/** Of the SATA controller that every machine of this kind has. */
const SATA_UNITS = [5, 4, 3, 2, 1, 0];

/** What cloud-init in the guest reads. It is none of the machine's volumes, and nothing is lost when it is made anew. */
export const seedPart: DomainPart = {
  drift: 'cloud-init',

  effectOf: nextStart('userData', 'cloudInit'),

  build(machine, { seedPath }) {
    if (!hasSeed(machine)) return {};
    const places = placeVolumes(machine.volumes ?? []).map(placeOf);
    return { devices: [seedNode(seedBusOf(machine), seedPath, places)] };
  },

  change(editor, domain, machine, { seedPath }) {
    const disks = diskElements(domain);
    const [present, ...others] = disks.filter(isSeed);
    for (const other of others) editor.remove(other);
    if (!hasSeed(machine)) {
      if (present !== undefined) editor.remove(present);
      return;
    }
    const places = placesWith(domain, machine);
    const bus = seedBusOf(machine);
    if (present !== undefined && isAsWanted(present, { bus, seedPath, places })) return;
    const node = seedNode(bus, seedPath, places);
    const devices = findElement(domain, 'devices');
    if (present !== undefined) editor.replace(present, node);
    else if (devices !== undefined) editor.append(devices, node);
  },
};

/** The image of the disk for cloud-init; undefined if the domain has none, or nothing is in it. */
export function readSeedPath(domain: XmlElement): string | undefined {
  const seed = diskElements(domain).find(isSeed);
  return attributeOf(findElement(seed, 'source'), 'file');
}

function isAsWanted(
  seed: XmlElement,
  wanted: {
    readonly bus: VolumeBus;
    readonly seedPath: string;
    readonly places: readonly DiskPlace[];
  },
): boolean {
  const target = findElement(seed, 'target');
  const dev = attributeOf(target, 'dev') ?? '';
  return (
    attributeOf(target, 'bus') === wanted.bus &&
    attributeOf(findElement(seed, 'source'), 'file') === wanted.seedPath &&
    !wanted.places.some((place) => place.target === dev)
  );
}

function seedNode(bus: VolumeBus, path: string, places: readonly DiskPlace[]): XmlNode {
  // Behind the disks of the machine, whose first is what firmware and guests take for the one to boot from.
  const target = targetsOn(bus).findLast((one) => !places.some((place) => place.target === one));
  if (target === undefined) throw noPlace();
  return element(
    'disk',
    // On virtio there are no CD-ROMs; a disk that cannot be written to is the same to cloud-init.
    { type: 'file', device: bus === 'virtio' ? 'disk' : 'cdrom' },
    // Its folder may be on a file system that has no direct access.
    element('driver', { name: 'qemu', type: 'raw', cache: 'writeback' }),
    element('source', { file: path }),
    element('target', { dev: target, bus }),
    element('readonly'),
    element('alias', { name: SEED_ALIAS }),
    bus === 'virtio' ? undefined : addressOn(bus, target, places),
  );
}

/** libvirt would take the place on the bus from the name, and add controllers for a late one. */
function addressOn(bus: VolumeBus, target: string, places: readonly DiskPlace[]): XmlNode {
  if (bus === 'scsi') return scsiAddress(target);
  const used = places
    .filter((place) => place.bus === bus)
    .map((place) => targetIndexOf(place.target));
  const unit = SATA_UNITS.find((one) => !used.includes(one));
  if (unit === undefined) throw noPlace();
  return driveAddress(unit);
}

function noPlace(): AgentError {
  return new AgentError(
    'INVALID_SPEC',
    'Cannot attach the disk for cloud-init: all places on the bus of the disk that it boots from are taken; put other disks on another bus, or leave userData and cloudInit out',
  );
}
