import { parseBitRate, parseBytes, parseMilliCpus, similarBytes } from '../quantity.ts';
import { enlightenmentProblems } from './enlightenments.ts';
import { hasSeed } from './has-seed.ts';
import { sourceProblems } from './image-source.ts';
import { ioLimitProblems } from './io-limits.ts';
import type { Machine } from './machine.ts';
import { networkProblems } from './network-rules.ts';
import type { SpecProblem } from './spec-problem.ts';
import { busOf, MAX_VOLUMES, pathOf, targetsOn, type Volume } from './volume.ts';
import { isMadeByAgent, ROOT_VOLUME, volumesOf } from './volumes-of.ts';

const MAX_VCPUS = 512;
/** QEMU's qcow2 goes further; file systems that hold a larger file are rare. */
const MAX_DISK_BYTES = 2n ** 46n;
/** What x86 can address, in 52 bits. */
const MAX_MEMORY_BYTES = 2n ** 52n;
const MIB = 2n ** 20n;

/** What is wrong between the fields of a spec whose fields are right each by itself. */
export function* specProblems(spec: {
  readonly running?: boolean | undefined;
  readonly runStrategy?: string | undefined;
  readonly migrationPolicy?: { readonly bandwidth?: string | undefined } | undefined;
  readonly template: { readonly spec: Machine };
}): Generator<SpecProblem> {
  if (spec.running !== undefined && spec.runStrategy !== undefined) {
    yield { path: ['running'], message: 'must be left out where runStrategy is given' };
  }
  const { image, kernel } = spec.template.spec;
  if (image === undefined && kernel === undefined && volumesOf(spec.template.spec).length === 0) {
    const message = 'is required: name an image, a volume to boot from, or a kernel';
    yield { path: ['template', 'spec', 'image'], message };
  }
  if (parseBitRate(spec.migrationPolicy?.bandwidth ?? '') === 0) {
    const message = "must be more than 0; leave it out for the node's default";
    yield { path: ['migrationPolicy', 'bandwidth'], message };
  }
  for (const { path, message } of machineProblems(spec.template.spec)) {
    yield { path: ['template', 'spec', ...path], message };
  }
}

/** The same for a machine alone, which need not have anything to boot. */
export function* machineProblems(machine: Machine): Generator<SpecProblem> {
  // What is no quantity is refused as such.
  const milliCpus = parseMilliCpus(machine.resources.cpu) ?? 1000;
  if (milliCpus < 1000 || milliCpus > MAX_VCPUS * 1000) {
    const message = `must be from 1 to ${MAX_VCPUS}, not ${machine.resources.cpu}`;
    yield { path: ['resources', 'cpu'], message };
  }
  const { memory } = machine.resources;
  const memoryBytes = parseBytes(memory) ?? 0n;
  if (memoryBytes > MAX_MEMORY_BYTES) {
    yield { path: ['resources', 'memory'], message: `must be at most 4Pi, not ${memory}` };
  }
  if (memory.endsWith('m') && memoryBytes < MIB) {
    const message = `is ${memory}, which is thousandths of a byte; did you mean ${similarBytes(memory)}?`;
    yield { path: ['resources', 'memory'], message };
  }
  const topology = machine.cpu?.topology;
  const vcpus = Math.ceil(milliCpus / 1000);
  const maxVcpus = machine.cpu?.max ?? vcpus;
  if (topology !== undefined) {
    const product = topology.sockets * topology.cores * topology.threads;
    if (product !== maxVcpus) {
      const field = machine.cpu?.max === undefined ? 'resources.cpu' : 'cpu.max';
      const message = `must come to the ${maxVcpus} CPUs of ${field}, not ${product}`;
      yield { path: ['cpu', 'topology'], message };
    }
  }
  yield* maximumProblems(machine, vcpus, memoryBytes);
  const features = (machine.cpu?.features ?? []).map((feature) => feature.slice(1));
  for (const [index, name] of features.entries()) {
    if (!features.slice(0, index).includes(name)) continue;
    yield { path: ['cpu', 'features', index], message: `names ${name} a second time` };
  }
  const { dataSource, networkConfig } = machine.cloudInit ?? {};
  if (dataSource === 'configdrive' && networkConfig !== undefined) {
    const message = 'must be left out with the data source configdrive, which has no place for it';
    yield { path: ['cloudInit', 'networkConfig'], message };
  }
  yield* numberProblems(machine);
  if (machine.memory?.hugepages !== undefined && machine.memory.freePageReporting === true) {
    const message = 'must be left out or false with hugepages, which are never given back';
    yield { path: ['memory', 'freePageReporting'], message };
  }
  const { watchdog, hyperv } = machine;
  if (watchdog?.model === 'itco' && isI440fx(machine)) {
    yield { path: ['watchdog', 'model'], message: 'needs the machine type q35 to be itco' };
  }
  for (const { index, message } of enlightenmentProblems(hyperv?.features ?? [])) {
    yield { path: ['hyperv', 'features', index], message };
  }
  const { type, secureBoot, secureBootKeys } = machine.firmware ?? {};
  // What Windows needs is filled in where it is open, and looked at again with that.
  const isFilledIn = machine.os === 'windows' && !isI440fx(machine);
  if (type !== 'uefi' && !(isFilledIn && type === undefined)) {
    for (const field of ['secureBoot', 'secureBootKeys', 'nvram'] as const) {
      const value = machine.firmware?.[field];
      if (value === undefined || value === false) continue;
      yield { path: ['firmware', field], message: 'needs the firmware type uefi' };
    }
  }
  if (secureBoot === true && isI440fx(machine)) {
    yield { path: ['firmware', 'secureBoot'], message: 'needs the machine type q35' };
  }
  const isOpen = isFilledIn && secureBoot === undefined;
  if (secureBootKeys !== undefined && secureBoot !== true && !isOpen) {
    yield { path: ['firmware', 'secureBootKeys'], message: 'needs secureBoot: true' };
  }
  for (const { path, message } of networkProblems(machine)) {
    yield { path: ['networks', ...path], message };
  }
  const { volumes = [], iothreads = 0 } = machine;
  for (const [index, volume] of volumes.entries()) {
    if (volume.iothread !== undefined && volume.iothread > iothreads) {
      const message =
        iothreads === 0
          ? 'needs iothreads of the machine, which has none'
          : `must be at most the ${iothreads} of iothreads`;
      yield { path: ['volumes', index, 'iothread'], message };
    }
    for (const { path, message } of volumeProblems(volume, volumes.slice(0, index), machine)) {
      yield { path: ['volumes', index, ...path], message };
    }
  }
  for (const { path, message } of machine.image === undefined
    ? []
    : sourceProblems(machine.image)) {
    yield { path: ['image', ...path], message };
  }
  for (const message of sizeProblems(machine.resources.disk)) {
    yield { path: ['resources', 'disk'], message };
  }
}

/** Whether it is of the older board, which has no PCIe. */
export function isI440fx({ machineType = '' }: Pick<Machine, 'machineType'>): boolean {
  return /^pc(-i440fx|$)/.test(machineType);
}

/** Of what it may have while it runs. */
function* maximumProblems(
  { resources, cpu, memory }: Machine,
  vcpus: number,
  memoryBytes: bigint,
): Generator<SpecProblem> {
  if (cpu?.max !== undefined && cpu.max < vcpus) {
    const message = `must be at least the ${vcpus} CPUs of resources.cpu, not ${cpu.max}`;
    yield { path: ['cpu', 'max'], message };
  }
  if (cpu?.max !== undefined && cpu.dedicated === true) {
    const message =
      'must be left out with dedicated: which CPUs of the node it has for itself is decided at each start';
    yield { path: ['cpu', 'max'], message };
  }
  if (memory?.max === undefined) return;
  const maxBytes = parseBytes(memory.max);
  // What is no quantity is refused as such.
  if (maxBytes === undefined) return;
  if (maxBytes > MAX_MEMORY_BYTES) {
    yield { path: ['memory', 'max'], message: `must be at most 4Pi, not ${memory.max}` };
  } else if (maxBytes < memoryBytes) {
    const message = `must be at least the ${resources.memory} of resources.memory, not ${memory.max}`;
    yield { path: ['memory', 'max'], message };
  }
  if (memory.hugepages !== undefined) {
    const message =
      'must be left out with hugepages, of which it has all that it has from its start';
    yield { path: ['memory', 'max'], message };
  }
}

function* numberProblems(machine: Machine): Generator<SpecProblem> {
  const given = (machine.volumes ?? []).length;
  const places = MAX_VOLUMES - volumesOf(machine).length;
  const others = [
    ...(volumesOf(machine).length > given ? ['resources.disk'] : []),
    ...(hasSeed(machine) ? ['userData or cloudInit'] : []),
  ];
  if (places >= (hasSeed(machine) ? 1 : 0)) return;
  const most = MAX_VOLUMES - others.length;
  const place = others.length === 1 ? 'the place of one' : 'a place each';
  const message = `must be at most ${most} with ${others.join(' and ')}, which take ${place}`;
  yield { path: ['volumes'], message };
}

function* sizeProblems(size: string | undefined): Generator<string> {
  // What is no quantity is refused as such.
  const bytes = parseBytes(size ?? '');
  if (bytes === undefined) return;
  if (size?.endsWith('m') === true && bytes < MIB) {
    yield `is ${size}, which is thousandths of a byte; did you mean ${similarBytes(size)}?`;
  } else if (bytes < MIB || bytes > MAX_DISK_BYTES) yield `must be from 1Mi to 64Ti, not ${size}`;
}

/** Of what the agent is to make. */
function* makingProblems(volume: Volume, { resources, image }: Machine): Generator<SpecProblem> {
  const { name, source, size, kind, readOnly } = volume;
  const hasDisk = name === ROOT_VOLUME && (resources.disk !== undefined || image !== undefined);
  if (hasDisk && source !== undefined) {
    const message =
      'must be left out with resources.disk or image, which make this disk anew; leave one of the two out';
    yield { path: ['source'], message };
  }
  if (hasDisk && kind === 'cdrom') {
    const message =
      'must be disk with resources.disk, which is the size of this volume; give the drive another name';
    yield { path: ['kind'], message };
  }
  if (name === ROOT_VOLUME && resources.disk !== undefined && size !== undefined) {
    const message = 'must be left out with resources.disk, which is the size of this volume';
    yield { path: ['size'], message };
  }
  // A drive may be empty.
  if (source === undefined && size === undefined && kind !== 'cdrom' && !hasDisk) {
    yield { path: ['source'], message: 'is required, or a size to make it anew' };
  }
  const isMade = kind === 'disk' && (hasDisk || isMadeByAgent(volume));
  if (volume.encryption !== undefined && !isMade) {
    const message =
      'is only of a disk that the agent makes, by its size or from an image; leave it out for what is there already';
    yield { path: ['encryption'], message };
  }
  if (source?.image !== undefined) {
    yield* imageProblems(volume);
    for (const { path, message } of sourceProblems(source.image)) {
      yield { path: ['source', 'image', ...path], message };
    }
  }
  const made = source?.image ?? (name === ROOT_VOLUME ? image : undefined);
  if (made?.clone === 'full' && volume.encryption !== undefined && volume.format !== 'raw') {
    const message =
      'must be raw for a full clone that is encrypted: the agent cannot encrypt one in the format qcow2 yet';
    yield { path: ['format'], message };
  }
  if (made?.clone === 'thin' && volume.format === 'raw') {
    const message = 'must be qcow2 or left out for a thin clone: a raw disk stands on no image';
    yield { path: ['format'], message };
  }
  if (size === undefined) return;
  for (const message of sizeProblems(size)) yield { path: ['size'], message };
  if (source !== undefined && source.image === undefined) {
    yield {
      path: ['size'],
      message: 'must be left out with a source, which has a size of its own',
    };
  } else if (kind === 'cdrom') {
    yield {
      path: ['size'],
      message: 'must be left out for a cdrom: it has the size of what is in it',
    };
  } else if (readOnly === true) {
    yield {
      path: ['readOnly'],
      message: 'must be left out or false for a disk that is made empty',
    };
  }
}

function* imageProblems({ kind, readOnly }: Volume): Generator<SpecProblem> {
  if (kind === 'cdrom') {
    const message = 'is not possible for a cdrom yet; fetch it, and name the file';
    yield { path: ['source', 'image'], message };
  } else if (readOnly === true) {
    yield {
      path: ['readOnly'],
      message: 'must be left out or false for a disk that is made from an image',
    };
  }
}

/** What is wrong between the fields of a volume, and with those that stand before it. Paths begin at the volume. */
export function* volumeProblems(
  volume: Volume,
  earlier: readonly Volume[],
  machine: Machine,
): Generator<SpecProblem> {
  const { source, format, target, kind, readOnly, cache, io, iothread, iotune } = volume;
  yield* makingProblems(volume, machine);
  if (source?.file !== undefined && format === undefined) {
    yield { path: ['format'], message: 'is required for a file: it is never guessed' };
  }
  const bus = busOf(volume);
  const targets = targetsOn(bus);
  if (target !== undefined && !targets.includes(target)) {
    const message = `must be ${targets[0]} to ${targets.at(-1)} on the bus ${bus}`;
    yield { path: ['target'], message };
  }
  if (kind === 'cdrom' && (bus === 'virtio' || bus === 'nvme')) {
    yield { path: ['bus'], message: 'must be sata or scsi for a cdrom' };
  }
  if (kind === 'cdrom' && readOnly === false) {
    yield { path: ['readOnly'], message: 'must be left out or true for a cdrom' };
  }
  // libvirt: QEMU has no read-only ATA disk.
  if (kind === 'disk' && bus === 'sata' && readOnly === true) {
    yield {
      path: ['readOnly'],
      message: 'is not possible for a disk on sata; choose another bus, or kind cdrom',
    };
  }
  if (iothread !== undefined && bus !== 'virtio') {
    yield { path: ['iothread'], message: 'needs the bus virtio' };
  }
  for (const { path, message } of iotune === undefined ? [] : ioLimitProblems(iotune)) {
    yield { path: ['iotune', ...path], message };
  }
  if (io === 'native' && cache !== 'none' && cache !== 'directsync') {
    yield { path: ['io'], message: 'native needs the cache mode none or directsync' };
  }
  for (const [key, path] of UNIQUE) {
    const value = key(volume);
    const same = earlier.find((other) => value !== undefined && key(other) === value);
    if (same === undefined) continue;
    const message = `is the same as that of volume ${JSON.stringify(same.name)}; each volume needs its own`;
    yield { path: path(volume), message };
  }
}

const UNIQUE: readonly (readonly [
  key: (volume: Volume) => string | number | undefined,
  path: (volume: Volume) => readonly PropertyKey[],
])[] = [
  [(volume) => volume.name, () => ['name']],
  [(volume) => volume.target, () => ['target']],
  [(volume) => volume.bootOrder, () => ['bootOrder']],
  [pathOf, ({ source }) => ['source', source?.file === undefined ? 'block' : 'file', 'path']],
];
