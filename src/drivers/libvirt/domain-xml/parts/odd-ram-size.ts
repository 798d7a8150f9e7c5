import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf } from '../xml-query.ts';

/*
 * QEMU before 9.0 under TCG loses dirty pages in a live migration: its fast path for reading the dirty bitmap, taken
 * for RAM blocks that are a multiple of 64 pages, clears the bits without resetting the TLB. A block of another size
 * goes the slow, correct way. libvirt rounds <memory> to whole MiB, so the size goes past it to QEMU.
 * docs/decisions/0007-odd-ram-size-under-tcg.md
 */

export const QEMU_NAMESPACE = 'http://libvirt.org/schemas/domain/qemu/1.0';

/** Two pages: no longer a multiple of 256 KiB, still one of 8 KiB. */
const EXTRA_KIB = 8;

/** QEMU's arguments that give a guest of `memoryKib` a RAM block of odd size. */
export function oddRamArguments(memoryKib: number): readonly string[] {
  const sizeKib = memoryKib + EXTRA_KIB;
  return [
    '-object',
    `memory-backend-ram,id=ram0,size=${sizeKib * 1024}`,
    '-machine',
    'memory-backend=ram0',
    '-m',
    `${sizeKib}k`,
  ];
}

/** Arguments as children of `<qemu:commandline>`. */
export function argumentNodes(values: readonly string[], prefix = 'qemu'): readonly XmlNode[] {
  return values.map((value) => element(`${prefix}:arg`, { value }));
}

const PATTERNS = [
  /^-object$/,
  /^memory-backend-ram,id=ram0,size=\d+$/,
  /^-machine$/,
  /^memory-backend=ram0$/,
  /^-m$/,
  /^\d+k$/,
];

/** Our own arguments among a domain's, whatever size they ask for; empty if they are not there. */
export function findOddRamArguments(args: readonly XmlElement[]): readonly XmlElement[] {
  const values = args.map((arg) => attributeOf(arg, 'value') ?? '');
  const start = values.findIndex((_, at) =>
    PATTERNS.every((pattern, i) => pattern.test(values[at + i] ?? '')),
  );
  return start < 0 ? [] : args.slice(start, start + PATTERNS.length);
}
