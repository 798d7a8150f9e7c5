import type { Machine } from '../../../../core/resources/machine.ts';
import {
  maxMemoryBytesOf,
  maxVcpusOf,
  memoryBytesOf,
} from '../../../../core/resources/machine-amounts.ts';
import { aliasOf } from '../adoption.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { childrenOf, findElement } from '../xml-query.ts';
import { readBytes } from './memory-amounts.ts';

/*
 * Memory that a guest can be given and can give back while it runs is a device, virtio-mem, of which the guest takes as much as is
 * requested. Unlike DIMMs it shrinks as well, and says what the guest has taken. QEMU wants a NUMA cell for it, and libvirt `maxMemory`.
 */

const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** What QEMU gives and takes at once: not less than the host's transparent huge pages. */
const BLOCK_BYTES = 2 * MIB;
/** What Linux on x86 adds memory by: a smaller device it could not use. */
const LINUX_BLOCK_BYTES = 128 * MIB;
/** The same with so much memory from the start. */
const LARGE_BYTES = 64 * GIB;
const LINUX_LARGE_BLOCK_BYTES = 2 * GIB;

const ALIAS = 'ua-growing-memory';

/** Such a device as a machine asks for. */
interface Growth {
  readonly bootBytes: number;
  /** Of the device: what may be requested, in blocks that the guest can use. */
  readonly sizeBytes: number;
}

/** Undefined for a machine that has from its start all that it may have. */
export function growthOf(machine: Machine): Growth | undefined {
  const bootBytes = memoryBytesOf(machine);
  const moreBytes = maxMemoryBytesOf(machine) - bootBytes;
  if (moreBytes <= 0) return undefined;
  const unit = bootBytes >= LARGE_BYTES ? LINUX_LARGE_BLOCK_BYTES : LINUX_BLOCK_BYTES;
  return { bootBytes, sizeBytes: Math.ceil(moreBytes / unit) * unit };
}

/** How much is to be requested of the device for a guest that is to have so many bytes beside those of its start. */
export function requestFor(moreBytes: number): number {
  return Math.ceil(Math.max(0, moreBytes) / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Such a device as a domain has it. */
export interface GrowingMemory {
  readonly sizeBytes: number;
  readonly requestedBytes: number;
  /** What the guest has taken; 0 while it is off. */
  readonly takenBytes: number;
}

/** Our own; undefined for a domain that has none. */
export function readGrowingMemory(domain: XmlElement): GrowingMemory | undefined {
  const target = findElement(findGrowingMemory(domain), 'target');
  if (target === undefined) return undefined;
  return {
    sizeBytes: readBytes(findElement(target, 'size')),
    requestedBytes: readBytes(findElement(target, 'requested')),
    takenBytes: readBytes(findElement(target, 'current')),
  };
}

export function findGrowingMemory(domain: XmlElement): XmlElement | undefined {
  return childrenOf(findElement(domain, 'devices'), 'memory').find((one) => aliasOf(one) === ALIAS);
}

export function growingMemoryNode(growth: Growth): XmlNode {
  const alias = element('alias', { name: ALIAS });
  return element('memory', { model: 'virtio-mem' }, targetNode(growth), alias);
}

function amount(name: string, bytes: number): XmlNode {
  return element(name, { unit: 'KiB' }, String(bytes / 1024));
}

/** Of a guest that begins with what it has at its start. */
export function targetNode({ sizeBytes }: Growth): XmlNode {
  return element(
    'target',
    {},
    amount('size', sizeBytes),
    element('node', {}, '0'),
    amount('block', BLOCK_BYTES),
    amount('requested', 0),
  );
}

export function maxMemoryNode({ bootBytes, sizeBytes }: Growth): XmlNode {
  const kib = String((bootBytes + sizeBytes) / 1024);
  return element('maxMemory', { slots: '1', unit: 'KiB' }, kib);
}

/** The only cell, which stands in `<cpu>`; undefined for a machine whose memory does not grow. */
export function numaNode(machine: Machine): XmlNode | undefined {
  const growth = growthOf(machine);
  if (growth === undefined) return undefined;
  const last = maxVcpusOf(machine) - 1;
  const cpus = last === 0 ? '0' : `0-${last}`;
  const memory = String(growth.bootBytes / 1024);
  return element('numa', {}, element('cell', { id: '0', cpus, memory, unit: 'KiB' }));
}
