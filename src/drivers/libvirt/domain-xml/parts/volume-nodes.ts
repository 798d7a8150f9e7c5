import { createHash } from 'node:crypto';
import { AgentError } from '../../../../core/errors.ts';
import {
  busOf,
  formatOf,
  isReadOnly,
  pathOf,
  targetsOn,
  type Volume,
  type VolumeBus,
} from '../../../../core/resources/volume.ts';
import { element, type XmlNode } from '../xml-node.ts';
import { encryptionNode, findKeyUuid } from './disk-encryption.ts';
import { ioLimitsNode } from './io-limits.ts';

/** libvirt keeps aliases from users only with this start. */
export const VOLUME_ALIAS_PREFIX = 'ua-disk-';

/** virtio-blk and ATA give the guest 20 bytes of serial number. */
const MAX_SERIAL_LENGTH = 20;

/** Where a disk is in a domain. */
export interface DiskPlace {
  /** Guest device such as `vda`. */
  readonly target: string;
  readonly bus: string;
}

/** A volume that has been given its guest device. */
export type PlacedVolume = Volume & { readonly target: string };

export function placeOf(volume: PlacedVolume): DiskPlace {
  return { target: volume.target, bus: busOf(volume) };
}

/**
 * Gives each volume its guest device: the one it asks for, else the one it has, else the first that is free. `taken`
 * are those of other makers' disks.
 */
export function placeVolumes(
  volumes: readonly Volume[],
  present: ReadonlyMap<string, string> = new Map(),
  taken: readonly string[] = [],
): readonly PlacedVolume[] {
  const used = new Set([
    ...taken,
    ...volumes.map(({ target }) => target).filter((target) => target !== undefined),
  ]);
  const places = new Map<string, string>();
  for (const { name, target, ...volume } of volumes) {
    const had = present.get(name);
    const fits = had !== undefined && targetsOn(busOf(volume)).includes(had) && !used.has(had);
    const place = target ?? (fits ? had : undefined);
    if (place === undefined) continue;
    used.add(place);
    places.set(name, place);
  }
  return volumes.map((volume) => {
    const place = places.get(volume.name) ?? firstFree(busOf(volume), used);
    used.add(place);
    return { ...volume, target: place };
  });
}

function firstFree(bus: VolumeBus, used: ReadonlySet<string>): string {
  const targets = targetsOn(bus);
  const free = targets.find((target) => !used.has(target));
  if (free === undefined) {
    throw new AgentError(
      'INVALID_SPEC',
      `Cannot attach all volumes: all guest devices from ${targets[0]} to ${targets.at(-1)} are taken, also by disks that were added with other tools`,
    );
  }
  return free;
}

export function volumeNode(volume: PlacedVolume, vmUid: string): XmlNode {
  const bus = busOf(volume);
  return element(
    'disk',
    { type: volume.source?.block === undefined ? 'file' : 'block', device: volume.kind },
    element('driver', {
      name: 'qemu',
      ...driverAttributes(volume),
      iothread: iothreadOf(volume),
    }),
    sourceNode(volume, findKeyUuid(volume, vmUid)),
    element('target', { dev: volume.target, bus }),
    // `shared` is not <shareable/>: that would let two VMs write the image at once.
    isReadOnly(volume) ? element('readonly') : undefined,
    element('serial', {}, serialOf(volume)),
    ioLimitsNode(volume.iotune),
    volume.bootOrder === undefined
      ? undefined
      : element('boot', { order: String(volume.bootOrder) }),
    element('alias', { name: VOLUME_ALIAS_PREFIX + volume.name }),
    bus === 'scsi' ? scsiAddress(volume.target) : undefined,
  );
}

/** Fields of a volume that stand in the attributes of its <driver>: when it is made, and when it is changed. */
export function driverAttributes(volume: Volume): Readonly<Record<string, string | undefined>> {
  return {
    type: formatOf(volume),
    cache: volume.cache,
    io: volume.io,
    discard: volume.discard ?? 'unmap',
    // A full or failing disk pauses the VM, which can be mended; an error in the guest seldom can.
    error_policy: volume.errorPolicy ?? 'stop',
  };
}

export function iothreadOf({ iothread }: Volume): string | undefined {
  return iothread === undefined ? undefined : String(iothread);
}

/** Undefined for an empty drive. */
export function sourceNode(volume: Pick<Volume, 'source'>, keyUuid?: string): XmlNode | undefined {
  const path = pathOf(volume);
  if (path === undefined) return undefined;
  return volume.source?.block === undefined
    ? element('source', { file: path }, encryptionNode(keyUuid))
    : element('source', { dev: path });
}

/** What the guest finds under /dev/disk/by-id: by default the name, or for a long one its start and a hash. */
export function serialOf({ name, serial }: Pick<Volume, 'name' | 'serial'>): string {
  if (serial !== undefined) return serial;
  if (name.length <= MAX_SERIAL_LENGTH) return name;
  const hash = createHash('sha256').update(name).digest('hex');
  return `${name.slice(0, MAX_SERIAL_LENGTH - 9)}-${hash.slice(0, 8)}`;
}

/** Of `sda` it is 0. */
export function targetIndexOf(target: string): number {
  return Math.max(target.charCodeAt(2) - 'a'.charCodeAt(0), 0);
}

/** All SCSI disks share one controller; libvirt by itself would start another after seven disks. */
export function scsiAddress(target: string): XmlNode {
  return driveAddress(targetIndexOf(target));
}

/** On the first controller of a disk's bus. */
export function driveAddress(unit: number): XmlNode {
  const place = { type: 'drive', controller: '0', bus: '0', target: '0' };
  return element('address', { ...place, unit: String(unit) });
}

export function scsiControllerNode(): XmlNode {
  return element('controller', { type: 'scsi', index: '0', model: 'virtio-scsi' });
}
