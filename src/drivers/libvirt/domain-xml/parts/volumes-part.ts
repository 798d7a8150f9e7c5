import type { Machine } from '../../../../core/resources/machine.ts';
import { busOf, isReadOnly, pathOf, type Volume } from '../../../../core/resources/volume.ts';
import type { FieldValues } from '../../../hypervisor-domains.ts';
import { adoptionOf, aliasOf } from '../adoption.ts';
import type { DomainPart } from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';
import { findKeyUuid, keyUuidIn } from './disk-encryption.ts';
import { changeIoLimits } from './io-limits.ts';
import { differingFields, readVolumesOf } from './read-volumes.ts';
import { isSeed } from './seed-disk.ts';
import {
  type DiskPlace,
  driverAttributes,
  iothreadOf,
  type PlacedVolume,
  placeOf,
  placeVolumes,
  scsiControllerNode,
  serialOf,
  sourceNode,
  VOLUME_ALIAS_PREFIX,
  volumeNode,
} from './volume-nodes.ts';

/** A disk as a domain has it. Values are libvirt's, so another maker's may be ones that no volume can have. */
export interface DomainVolume {
  /** From our alias; for a disk of another maker its serial number or target. */
  readonly name: string;
  /** It is a volume of the machine. */
  readonly isOurs: boolean;
  /** Of a volume that somebody else has made. */
  readonly isAdopted?: true;
  readonly target: string;
  readonly bus: string;
  readonly device: string;
  readonly format: string;
  /** Undefined for an empty drive and for storage that is not a file or block device. */
  readonly path: string | undefined;
  readonly isBlock: boolean;
  /** Of a drive that is open now; left out where it is shut. */
  readonly isOpen?: true;
  readonly readOnly: boolean;
  readonly bootOrder: number | undefined;
  readonly cache: string;
  readonly io: string | undefined;
  readonly serial: string | undefined;
}

/** In libvirt's order, which is that of their targets. The disk for cloud-init is none of them. */
export function readVolumes(domain: XmlElement): readonly DomainVolume[] {
  return volumeElements(domain).map(readVolume);
}

/** The elements of these. */
export function volumeElements(domain: XmlElement): readonly XmlElement[] {
  return diskElements(domain).filter((disk) => !isSeed(disk));
}

/** The places of all disks but the one for cloud-init, once the domain has these volumes. */
export function placesWith(domain: XmlElement, { volumes = [] }: Machine): readonly DiskPlace[] {
  const others = volumeElements(domain)
    .map(readVolume)
    .filter(({ isOurs }) => !isOurs);
  return [...others, ...placedIn(domain, volumes).map(placeOf)];
}

/** Volumes with their places in a domain: those that they have there, if they can. */
function placedIn(domain: XmlElement, volumes: readonly Volume[]): readonly PlacedVolume[] {
  const present = diskElements(domain).map(readVolume);
  return placeVolumes(
    volumes,
    new Map(present.filter(({ isOurs }) => isOurs).map(({ name, target }) => [name, target])),
    present.filter(({ isOurs }) => !isOurs).map(({ target }) => target),
  );
}

const WHOLE = /^volumes\[\d+\]$/;
const SIZE = /^volumes\[\d+\]\.size$/;

/** Of a disk that is there before and after. */
function isOther(change: FieldValues | undefined): boolean {
  return change?.before !== undefined && change.after !== undefined;
}

/** Whether it is a disk that comes or goes, on a bus where it may while the guest runs. */
function isPlugged(change: FieldValues | undefined): boolean {
  if (change === undefined || isOther(change)) return false;
  const volume = (change.before ?? change.after) as Volume;
  return volume.kind === 'disk' && ['virtio', 'scsi'].includes(busOf(volume));
}

/** Fields of a volume that stand in no element. */
const WITHOUT_ELEMENT = /^volumes\[\d+\]\.(shared|accessMode)$/;

export const volumesPart: DomainPart = {
  drift: 'volumes',

  read: readVolumesOf,

  effectOf(field, change) {
    // A part of an image is of the disk that was made from it, once.
    if (field === 'image') return 'next-start';
    if (field === 'resources.disk' || SIZE.test(field)) {
      return isOther(change) ? 'now' : 'next-start';
    }
    if (field !== 'volumes' && !field.startsWith('volumes[')) return undefined;
    if (WITHOUT_ELEMENT.test(field)) return 'now';
    return WHOLE.test(field) && isPlugged(change) ? 'live' : 'next-start';
  },

  build({ volumes = [] }, { vmUid }) {
    return {
      devices: [
        ...placeVolumes(volumes).map((volume) => volumeNode(volume, vmUid)),
        volumes.some((volume) => busOf(volume) === 'scsi') ? scsiControllerNode() : undefined,
      ],
    };
  },

  /** Adds, changes and removes our own disks, known by their alias. Disks of another maker stay as they are. */
  change(editor, domain, { volumes = [] }, { before, vmUid }) {
    const present = diskElements(domain).map((disk) => ({ disk, read: readVolume(disk) }));
    const ours = present.filter(({ read }) => read.isOurs);
    for (const { disk, read } of ours) {
      if (!volumes.some(({ name }) => name === read.name)) editor.remove(disk);
    }
    const devices = findElement(domain, 'devices');
    const add = (node: XmlNode) => {
      if (devices === undefined) throw new Error('A domain without devices');
      editor.append(devices, node);
    };
    for (const volume of placedIn(domain, volumes)) {
      const old = ours.find(({ read }) => read.name === volume.name);
      if (old === undefined) add(volumeNode(volume, vmUid));
      else changeVolume(editor, old.disk, old.read, volume, { vmUid, earlier: before?.volumes });
    }
    const controllers = childrenOf(devices, 'controller');
    const hasScsi = controllers.some((controller) => attributeOf(controller, 'type') === 'scsi');
    if (!hasScsi && volumes.some((volume) => busOf(volume) === 'scsi')) add(scsiControllerNode());
  },
};

/** Puts what a volume has as its source into its drive, and leaves all else of that; undefined if the domain has no such drive. */
export function changeMedium(
  editor: XmlEditor,
  domain: XmlElement,
  volume: Pick<Volume, 'name' | 'source'>,
): XmlElement | undefined {
  const disk = findDrive(domain, volume.name);
  if (disk !== undefined) changeSource(editor, disk, readVolume(disk), volume);
  return disk;
}

/** The disk that was made for a volume. */
export function findDrive(domain: XmlElement, volumeName: string): XmlElement | undefined {
  return diskElements(domain).find((disk) => {
    const { isOurs, name } = readVolume(disk);
    return isOurs && name === volumeName;
  });
}

export function diskElements(domain: XmlElement): readonly XmlElement[] {
  return childrenOf(findElement(domain, 'devices'), 'disk');
}

function readVolume(disk: XmlElement): DomainVolume {
  const target = findElement(disk, 'target');
  const driver = findElement(disk, 'driver');
  const source = findElement(disk, 'source');
  const order = attributeOf(findElement(disk, 'boot'), 'order');
  const dev = attributeOf(target, 'dev') ?? '';
  const device = attributeOf(disk, 'device') ?? 'disk';
  const serial = textOf(findElement(disk, 'serial'));
  const alias = aliasOf(disk);
  const isMade = alias.startsWith(VOLUME_ALIAS_PREFIX);
  const isAdopted = !isMade && adoptionOf(disk)?.volumes.includes(dev) === true;
  const own = isMade ? alias.slice(VOLUME_ALIAS_PREFIX.length) : isAdopted ? dev : undefined;
  return {
    name: own ?? serial ?? dev,
    isOurs: own !== undefined,
    ...(isAdopted && { isAdopted: true as const }),
    target: dev,
    bus: attributeOf(target, 'bus') ?? '',
    device,
    format: attributeOf(driver, 'type') ?? 'raw',
    path: attributeOf(source, 'file') ?? attributeOf(source, 'dev'),
    isBlock: attributeOf(disk, 'type') === 'block',
    ...(attributeOf(target, 'tray') === 'open' && { isOpen: true as const }),
    readOnly: device === 'cdrom' || findElement(disk, 'readonly') !== undefined,
    bootOrder: order === undefined ? undefined : Number(order),
    cache: attributeOf(driver, 'cache') ?? 'writeback',
    io: attributeOf(driver, 'io'),
    serial,
  };
}

function changeVolume(
  editor: XmlEditor,
  disk: XmlElement,
  old: DomainVolume,
  volume: PlacedVolume,
  {
    vmUid,
    earlier = [],
  }: { readonly vmUid: string; readonly earlier?: readonly Volume[] | undefined },
): void {
  const before = earlier.find(({ name }) => name === volume.name);
  const isElsewhere =
    old.target !== volume.target || old.bus !== busOf(volume) || old.device !== volume.kind;
  if (isElsewhere) {
    // Another place on another bus: its address and all that libvirt chose for it no longer fit.
    editor.replace(disk, volumeNode(volume, vmUid));
    return;
  }
  const differing = old.isAdopted === true ? differingFields(disk, volume) : undefined;
  changeDriver(editor, disk, volume, differing);
  changeIothread(editor, disk, volume, before);
  changeIoLimits(editor, disk, volume.iotune, before?.iotune !== undefined);
  changeSource(editor, disk, old, volume, findKeyUuid(volume, vmUid));
  if (old.readOnly !== isReadOnly(volume)) {
    if (isReadOnly(volume)) editor.append(disk, element('readonly'));
    else for (const mark of childrenOf(disk, 'readonly')) editor.remove(mark);
  }
  const serial = findElement(disk, 'serial');
  if (old.serial !== serialOf(volume) && differing?.has('serial') !== false) {
    if (serial === undefined) editor.append(disk, element('serial', {}, serialOf(volume)));
    else editor.setText(serial, serialOf(volume));
  }
  changeBootOrder(editor, disk, old.bootOrder, volume.bootOrder);
}

/** Fields of a volume that its <driver> calls something else. */
const FIELDS_OF_DRIVER: Readonly<Record<string, string>> = {
  type: 'format',
  error_policy: 'errorPolicy',
};

function changeDriver(
  editor: XmlEditor,
  disk: XmlElement,
  volume: Volume,
  differing: ReadonlySet<string> | undefined,
): void {
  const driver = findElement(disk, 'driver');
  const wanted = Object.entries(driverAttributes(volume)).filter(
    ([name]) => differing?.has(FIELDS_OF_DRIVER[name] ?? name) !== false,
  );
  if (driver === undefined) {
    // libvirt writes one down for every disk of QEMU's.
    if (differing !== undefined && wanted.length > 0) {
      editor.append(disk, element('driver', { name: 'qemu', ...Object.fromEntries(wanted) }));
    }
    return;
  }
  for (const [name, value] of wanted) {
    if (value === undefined) editor.removeAttribute(driver, name);
    else editor.setAttribute(driver, name, value);
  }
}

/** One that the volume leaves out stays as it is, unless it has had one before. */
function changeIothread(
  editor: XmlEditor,
  disk: XmlElement,
  volume: Volume,
  before: Volume | undefined,
): void {
  const driver = findElement(disk, 'driver');
  if (driver === undefined) return;
  const iothread = iothreadOf(volume);
  if (iothread !== undefined) editor.setAttribute(driver, 'iothread', iothread);
  else if (before?.iothread !== undefined) editor.removeAttribute(driver, 'iothread');
}

function changeSource(
  editor: XmlEditor,
  disk: XmlElement,
  old: DomainVolume,
  volume: Pick<Volume, 'source'>,
  keyUuid?: string,
): void {
  const isBlock = volume.source?.block !== undefined;
  const present = findElement(disk, 'source');
  // Encryption that the volume does not speak of is somebody else's.
  const hasKey = keyUuid === undefined || keyUuidIn(present) === keyUuid;
  if (old.path === pathOf(volume) && old.isBlock === isBlock && hasKey) return;
  // Options of the old source, such as a backing chain or encryption, are about another image.
  for (const stale of childrenOf(disk, 'backingStore')) editor.remove(stale);
  editor.setAttribute(disk, 'type', isBlock ? 'block' : 'file');
  const source = sourceNode(volume, keyUuid);
  if (source === undefined) {
    if (present !== undefined) editor.remove(present);
  } else if (present === undefined) editor.append(disk, source);
  else editor.replace(present, source);
}

function changeBootOrder(
  editor: XmlEditor,
  disk: XmlElement,
  old: number | undefined,
  wanted: number | undefined,
): void {
  if (old === wanted) return;
  const boot = findElement(disk, 'boot');
  if (wanted === undefined) {
    if (boot !== undefined) editor.remove(boot);
  } else if (boot === undefined) {
    editor.append(disk, element('boot', { order: String(wanted) }));
  } else {
    editor.setAttribute(boot, 'order', String(wanted));
  }
}
