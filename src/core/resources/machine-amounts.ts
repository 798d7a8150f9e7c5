import { parseBytes, parseMilliCpus } from '../quantity.ts';
import type { Machine } from './machine.ts';
import { diskBytesOf, isMadeByAgent, sizeFieldOf, volumesOf } from './volumes-of.ts';

const MIB = 2 ** 20;

/*
 * What QEMU needs beside the guest's memory: its own heap, code and device models; a stack and run state for each virtual
 * CPU; page tables and dirty bitmaps, which grow with the guest.
 */
const QEMU_BYTES = 64 * MIB;
const QEMU_BYTES_PER_VCPU = 8 * MIB;
const QEMU_SHARE = 256;

type WithResources = Pick<Machine, 'resources'>;
type WithMaxima = WithResources & Pick<Machine, 'cpu' | 'memory'>;

/** Virtual CPUs: the quantity rounded up to whole ones. */
export function vcpusOf({ resources }: WithResources): number {
  return Math.ceil((parseMilliCpus(resources.cpu) ?? 0) / 1000);
}

/** Virtual CPUs that it may come to have while it runs. */
export function maxVcpusOf(machine: WithMaxima): number {
  return Math.max(machine.cpu?.max ?? 0, vcpusOf(machine));
}

/** Memory of the guest in bytes: the quantity rounded up to whole MiB, as libvirt gives no less. */
export function memoryBytesOf({ resources }: WithResources): number {
  return wholeMib(resources.memory);
}

/** The same that it may come to have while it runs. */
export function maxMemoryBytesOf(machine: WithMaxima): number {
  return Math.max(wholeMib(machine.memory?.max ?? '0'), memoryBytesOf(machine));
}

function wholeMib(quantity: string): number {
  return Math.ceil(Number(parseBytes(quantity) ?? 0n) / MIB) * MIB;
}

/** Memory of the node that a machine may come to take: that of the guest and what QEMU needs for itself. */
export function nodeMemoryBytesOf(machine: WithResources): number {
  const guestBytes = memoryBytesOf(machine);
  const ofVcpus = vcpusOf(machine) * QEMU_BYTES_PER_VCPU;
  return guestBytes + QEMU_BYTES + ofVcpus + Math.ceil(guestBytes / QEMU_SHARE);
}

/** What was rounded, for people; empty if nothing was. */
export function roundingNotes(
  machine: Pick<Machine, 'resources' | 'image' | 'volumes'>,
): readonly string[] {
  const { cpu, memory } = machine.resources;
  const notes: string[] = [];
  const vcpus = vcpusOf(machine);
  if (parseMilliCpus(cpu) !== vcpus * 1000) {
    notes.push(`spec.template.spec.resources.cpu ${cpu} is rounded up to ${vcpus} virtual CPUs`);
  }
  const bytes = memoryBytesOf(machine);
  if (Number(parseBytes(memory) ?? 0n) !== bytes) {
    notes.push(`spec.template.spec.resources.memory ${memory} is rounded up to ${bytes / MIB}Mi`);
  }
  for (const { name, size } of volumesOf(machine).filter(isMadeByAgent)) {
    if (size === undefined) continue;
    const bytes = diskBytesOf(size);
    if (parseBytes(size) === BigInt(bytes)) continue;
    notes.push(
      `spec.template.spec.${sizeFieldOf(machine, name)} ${size} is rounded up to whole sectors, ${bytes} bytes`,
    );
  }
  return notes;
}
