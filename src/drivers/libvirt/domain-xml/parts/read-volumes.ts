import { volumeProblems } from '../../../../core/resources/virtual-machine-rules.ts';
import { MAX_VOLUMES, type Volume, volume } from '../../../../core/resources/volume.ts';
import { adoptionOf, aliasOf } from '../adoption.ts';
import type { MachineInput, PartReading } from '../domain-part.ts';
import { extraAttributes, extraChildren } from '../kept-words.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';
import { isSeed } from './seed-disk.ts';
import { VOLUME_ALIAS_PREFIX } from './volume-nodes.ts';

const KNOWN_CHILDREN = [
  'driver',
  'source',
  'target',
  'readonly',
  'serial',
  'boot',
  'alias',
  'address',
  'backingStore',
];
/** With these it is another disk than any volume can be. */
const OTHER_DISKS = ['encryption', 'shareable', 'transient', 'mirror', 'auth'];
const OTHER_SOURCES = ['encryption', 'slices', 'reservations', 'cookies', 'ssl', 'auth'];

/** What the disks of a domain are as volumes. What no volume can be stays another maker's disk. */
export function readVolumesOf(domain: XmlElement): PartReading {
  const adoption = adoptionOf(domain);
  // Of a domain that was adopted those that have come since are another maker's.
  const isOthers = (disk: XmlElement) =>
    adoption !== undefined &&
    !aliasOf(disk).startsWith(VOLUME_ALIAS_PREFIX) &&
    !adoption.volumes.includes(volumeNameOf(disk));
  const disks = childrenOf(findElement(domain, 'devices'), 'disk').filter(
    (disk) => !isSeed(disk) && !isOthers(disk),
  );
  const sayable: {
    readonly disk: XmlElement;
    readonly input: MachineInput;
    readonly read: Volume;
  }[] = [];
  for (const disk of disks) {
    const input = inputOf(disk);
    const earlier = sayable.map(({ read }) => read);
    const read = input === undefined ? undefined : parsed(input, earlier);
    if (input === undefined || read === undefined || sayable.length === MAX_VOLUMES) continue;
    sayable.push({ disk, input, read });
  }
  return {
    machine: sayable.length === 0 ? undefined : { volumes: sayable.map(({ input }) => input) },
    said: sayable.map(({ disk }) => disk),
    kept: sayable.flatMap(({ disk, read }) => keptOf(disk, read)),
  };
}

/** A disk as a volume; undefined if no volume can say what it is. */
function volumeOf(disk: XmlElement): Volume | undefined {
  const input = inputOf(disk);
  return input && parsed(input, []);
}

/** No disk is made for a machine that is there. */
const OTHERWISE = { resources: { cpu: '1', memory: '1Mi' } } as const;

function parsed(input: MachineInput, earlier: readonly Volume[]): Volume | undefined {
  const result = volume.safeParse(input);
  if (!result.success) return undefined;
  const hasProblem = volumeProblems(result.data, earlier, OTHERWISE).next().done !== true;
  return hasProblem ? undefined : result.data;
}

/** The name of the volume that a disk is, whether or not it is one already. */
export function volumeNameOf(disk: XmlElement): string {
  const alias = aliasOf(disk);
  return alias.startsWith(VOLUME_ALIAS_PREFIX)
    ? alias.slice(VOLUME_ALIAS_PREFIX.length)
    : (attributeOf(findElement(disk, 'target'), 'dev') ?? '');
}

function inputOf(disk: XmlElement): MachineInput | undefined {
  const [driver, source, target] = ['driver', 'source', 'target'].map((name) =>
    findElement(disk, name),
  );
  const type = attributeOf(disk, 'type') ?? 'file';
  const kind = attributeOf(disk, 'device') ?? 'disk';
  const isOther =
    (type !== 'file' && type !== 'block') ||
    (attributeOf(driver, 'name') ?? 'qemu') !== 'qemu' ||
    OTHER_DISKS.some((name) => findElement(disk, name) !== undefined) ||
    OTHER_SOURCES.some((name) => findElement(source, name) !== undefined);
  if (isOther) return undefined;
  const cache = attributeOf(driver, 'cache') ?? 'default';
  const discard = attributeOf(driver, 'discard') ?? 'default';
  const io = attributeOf(driver, 'io') ?? 'default';
  const order = attributeOf(findElement(disk, 'boot'), 'order');
  const serial = sayableSerial(disk);
  const isReadOnlyDisk = kind === 'disk' && findElement(disk, 'readonly') !== undefined;
  return {
    name: volumeNameOf(disk),
    ...sourceInput(type, source),
    kind,
    bus: attributeOf(target, 'bus'),
    format: attributeOf(driver, 'type') ?? 'raw',
    target: attributeOf(target, 'dev'),
    ...(isReadOnlyDisk && { readOnly: true }),
    ...(order !== undefined && { bootOrder: Number(order) }),
    // What QEMU does where it is told nothing.
    cache: cache === 'default' ? 'writeback' : cache,
    ...(io !== 'default' && { io }),
    discard: discard === 'default' ? 'ignore' : discard,
    ...(serial !== undefined && { serial }),
  };
}

function sourceInput(type: string, source: XmlElement | undefined): MachineInput {
  const path = attributeOf(source, type === 'block' ? 'dev' : 'file');
  if (path === undefined || path === '') return {};
  return { source: type === 'block' ? { block: { path } } : { file: { path } } };
}

function sayableSerial(disk: XmlElement): string | undefined {
  const serial = textOf(findElement(disk, 'serial'));
  const checked = volume.shape.serial.safeParse(serial);
  return checked.success ? checked.data : undefined;
}

/** What of a disk its volume cannot say. */
function keptOf(disk: XmlElement, read: Volume): readonly string[] {
  const [driver, source, target] = ['driver', 'source', 'target'].map((name) =>
    findElement(disk, name),
  );
  const serial = textOf(findElement(disk, 'serial'));
  const words = [
    ...extraAttributes(disk, { type: /./, device: /./, model: 'virtio' }),
    ...extraAttributes(driver, DRIVER_ATTRIBUTES).map((text) => `driver ${text}`),
    ...extraAttributes(source, { file: /./, dev: /./, index: /./ }).map((text) => `source ${text}`),
    ...extraAttributes(target, { dev: /./, bus: /./, tray: /./ }).map((text) => `target ${text}`),
    ...(serial !== undefined && read.serial === undefined
      ? [`serial ${JSON.stringify(serial)}`]
      : []),
    ...extraChildren(disk, KNOWN_CHILDREN),
    ...extraChildren(source, ['address', 'privateData']),
  ];
  return words.map((text) => `disk ${read.target ?? read.name}: ${text}`);
}

const DRIVER_ATTRIBUTES = {
  name: 'qemu',
  type: /./,
  cache: /./,
  io: /./,
  discard: /./,
  error_policy: 'stop',
};

/** Which fields of an adopted disk are to be changed. What its volume leaves open stays as its maker has chosen it. */
export function differingFields(disk: XmlElement, wanted: Volume): ReadonlySet<string> {
  const present = volumeOf(disk);
  const fields = ['format', 'cache', 'io', 'discard', 'serial'] as const;
  const differing = fields.filter((field) => {
    const isOpen = wanted[field] === undefined && field !== 'io';
    return !isOpen && (present === undefined || present[field] !== wanted[field]);
  });
  return new Set<string>(differing);
}
