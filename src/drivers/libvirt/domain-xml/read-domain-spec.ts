import type { BootSpec } from '../../../core/vm-spec.ts';
import { DISK_ALIAS_PREFIX } from './disk-node.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from './xml-query.ts';

/**
 * What a domain's elements say, in the shape of a VmSpec. Values are libvirt's, so a domain that is not ours may
 * have ones that no VmSpec can have. `powerState` and a disk's `shared` stand in no element.
 */
export interface DomainSpec {
  /** `vcpus` is the most the domain can have. `model` is undefined where libvirt is left the choice. */
  readonly cpu: { readonly vcpus: number; readonly model: string | undefined };
  readonly memory: { readonly sizeBytes: number };
  readonly boot: BootSpec;
  /** In libvirt's order, which is that of their targets. */
  readonly disks: readonly DomainDisk[];
  /** As libvirt keeps it, such as `pc-q35-7.2`. */
  readonly machineType: string;
}

export interface DomainDisk {
  /** From our alias; for a disk of another maker its serial number or target. */
  readonly name: string;
  readonly target: string;
  readonly bus: string;
  readonly format: string;
  /** Undefined for an empty drive and for storage that is not a file or block device. */
  readonly path: string | undefined;
  readonly readOnly: boolean;
  readonly bootOrder: number | undefined;
  readonly cache: string;
}

export function readDomainSpec(domain: XmlElement): DomainSpec {
  return {
    cpu: {
      vcpus: Number(textOf(findElement(domain, 'vcpu')) ?? 1),
      model: cpuModel(findElement(domain, 'cpu')),
    },
    memory: { sizeBytes: readMemory(findElement(domain, 'memory')) },
    boot: readBoot(findElement(domain, 'os')),
    disks: diskElements(domain).map(readDisk),
    machineType: attributeOf(findElement(domain, 'os', 'type'), 'machine') ?? '',
  };
}

export function diskElements(domain: XmlElement): readonly XmlElement[] {
  return childrenOf(findElement(domain, 'devices'), 'disk');
}

/** The name of a disk that we made; undefined for any other. */
export function ownDiskName(disk: XmlElement): string | undefined {
  const alias = attributeOf(findElement(disk, 'alias'), 'name') ?? '';
  return alias.startsWith(DISK_ALIAS_PREFIX) ? alias.slice(DISK_ALIAS_PREFIX.length) : undefined;
}

export function readDisk(disk: XmlElement): DomainDisk {
  const target = findElement(disk, 'target');
  const driver = findElement(disk, 'driver');
  const source = findElement(disk, 'source');
  const order = attributeOf(findElement(disk, 'boot'), 'order');
  const dev = attributeOf(target, 'dev') ?? '';
  return {
    name: ownDiskName(disk) ?? textOf(findElement(disk, 'serial')) ?? dev,
    target: dev,
    bus: attributeOf(target, 'bus') ?? '',
    format: attributeOf(driver, 'type') ?? 'raw',
    path: attributeOf(source, 'file') ?? attributeOf(source, 'dev'),
    readOnly:
      attributeOf(disk, 'device') === 'cdrom' || findElement(disk, 'readonly') !== undefined,
    bootOrder: order === undefined ? undefined : Number(order),
    cache: attributeOf(driver, 'cache') ?? 'writeback',
  };
}

function cpuModel(cpu: XmlElement | undefined): string | undefined {
  const mode = attributeOf(cpu, 'mode');
  if (mode === 'host-passthrough' || mode === 'host-model' || mode === 'maximum') return mode;
  return textOf(findElement(cpu, 'model'))?.trim();
}

function readBoot(os: XmlElement | undefined): BootSpec {
  const kernelPath = textOf(findElement(os, 'kernel'));
  if (kernelPath !== undefined) {
    const initrdPath = textOf(findElement(os, 'initrd'));
    const commandLine = textOf(findElement(os, 'cmdline')) ?? '';
    return { kind: 'kernel', kernelPath, initrdPath, commandLine };
  }
  const uefi =
    attributeOf(os, 'firmware') === 'efi' ||
    attributeOf(findElement(os, 'loader'), 'type') === 'pflash';
  return { kind: 'firmware', firmware: uefi ? 'uefi' : 'bios' };
}

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 2 ** 10,
  KiB: 2 ** 10,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
};

/** Bytes; NaN for a unit that libvirt does not have. */
function readMemory(memory: XmlElement | undefined): number {
  const unit = attributeOf(memory, 'unit') ?? 'KiB';
  return Number(textOf(memory) ?? 0) * (UNITS[unit] ?? Number.NaN);
}
