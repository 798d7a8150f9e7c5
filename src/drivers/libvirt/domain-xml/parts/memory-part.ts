import { isDeepStrictEqual } from 'node:util';
import { formatBytesQuantity } from '../../../../core/quantity.ts';
import { memoryBytesOf } from '../../../../core/resources/machine-amounts.ts';
import { isAdopted } from '../adoption.ts';
import {
  acceleratorOf,
  type ChangeOptions,
  type DomainPart,
  type DomainXmlOptions,
  nextStart,
  type PartReading,
} from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import {
  attributeOf,
  childrenInNamespace,
  childrenOf,
  findElement,
  prefixFor,
  textOf,
} from '../xml-query.ts';
import {
  argumentNodes,
  findOddRamArguments,
  oddRamArguments,
  QEMU_NAMESPACE,
} from './odd-ram-size.ts';

const MIB = 2 ** 20;

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

type HugepageSize = '2Mi' | '1Gi';

const PAGE_KIB: Readonly<Record<HugepageSize, string>> = { '2Mi': '2048', '1Gi': '1048576' };

/** Memory of the guest in bytes; NaN for a unit that libvirt does not have. */
export function readMemoryBytes(domain: XmlElement): number {
  return readBytes(findElement(domain, 'memory'));
}

function readBytes(amount: XmlElement | undefined): number {
  const unit = attributeOf(amount, 'unit') ?? 'KiB';
  return Number(textOf(amount) ?? 0) * (UNITS[unit] ?? Number.NaN);
}

/** Of which size a domain of somebody else has them; one that names none has the host's usual ones. */
export function readHugepages(domain: XmlElement): HugepageSize | undefined {
  const hugepages = findElement(domain, 'memoryBacking', 'hugepages');
  if (hugepages === undefined) return undefined;
  const page = findElement(hugepages, 'page');
  const size = Number(attributeOf(page, 'size')) * (UNITS[attributeOf(page, 'unit') ?? 'KiB'] ?? 0);
  return size === UNITS['GiB'] ? '1Gi' : '2Mi';
}

/** Whether the domain has a RAM block of odd size. */
export function hasOddRam(domain: XmlElement): boolean {
  const commandline = childrenInNamespace(domain, QEMU_NAMESPACE, 'commandline')[0];
  return findOddRamArguments(childrenInNamespace(commandline, QEMU_NAMESPACE, 'arg')).length > 0;
}

export const memoryPart: DomainPart = {
  drift: 'memory',

  effectOf: nextStart('resources.memory', 'memory'),

  build(machine, options) {
    const kib = memoryBytesOf(machine) / 1024;
    const hugepages = machine.memory?.hugepages;
    const odd = hasOddSize(options, options.accelerator, hugepages);
    return {
      attributes: odd ? { 'xmlns:qemu': QEMU_NAMESPACE } : {},
      domain: [
        element('memory', { unit: 'KiB' }, String(kib)),
        element('currentMemory', { unit: 'KiB' }, String(kib)),
        hugepages && element('memoryBacking', {}, hugepagesNode(hugepages)),
        odd ? element('qemu:commandline', {}, ...argumentNodes(oddRamArguments(kib))) : undefined,
      ],
      devices: [balloonNode(machine.memory?.freePageReporting ?? hugepages === undefined)],
    };
  },

  change(editor, domain, machine, options) {
    const bytes = memoryBytesOf(machine);
    const kib = bytes / 1024;
    // While it runs, its balloon says what it has now, which is the guest's.
    const isLive = attributeOf(domain, 'id') !== undefined;
    const isResized = Math.ceil(readMemoryBytes(domain) / MIB) * MIB !== bytes;
    // What somebody else has made may have begun with less, and in units of its own.
    const staysAsItIs = !isResized && (isLive || isAdopted(domain));
    for (const name of staysAsItIs ? [] : ['memory', 'currentMemory']) {
      const memory = findElement(domain, name);
      if (memory === undefined) {
        // libvirt gives a domain all of its memory unless told otherwise.
        if (name === 'memory') editor.append(domain, element(name, { unit: 'KiB' }, String(kib)));
      } else if (readBytes(memory) !== bytes) {
        editor.setAttribute(memory, 'unit', 'KiB');
        editor.setText(memory, String(kib));
      }
    }
    const { hugepages, freePageReporting } = machine.memory ?? {};
    const had = options.before?.memory;
    const isTakenBack = hugepages === undefined && had?.hugepages !== undefined;
    if (hugepages !== undefined || isTakenBack) changeHugepages(editor, domain, hugepages);
    const pages = isTakenBack ? undefined : (hugepages ?? readHugepages(domain));
    const odd = hasOddSize(options, acceleratorOf(domain), pages);
    changeOddRam(editor, domain, odd ? kib : undefined);
    // QEMU would give back what its guest may find no other of.
    const reports = freePageReporting ?? (hugepages === undefined ? undefined : false);
    const isOpenAgain = isTakenBack || had?.freePageReporting !== undefined;
    changeBalloon(editor, domain, reports ?? (isOpenAgain ? pages === undefined : undefined));
  },

  read(domain) {
    const bytes = readMemoryBytes(domain);
    const balloon = findElement(domain, 'devices', 'memballoon');
    const reporting = attributeOf(balloon, 'freePageReporting');
    const balloonModel = attributeOf(balloon, 'model') ?? 'virtio';
    const current = findElement(domain, 'currentMemory');
    const isLess = current !== undefined && readBytes(current) !== bytes;
    // Of one that runs it is what its balloon has left it.
    const isLive = attributeOf(domain, 'id') !== undefined;
    return {
      machine: {
        resources: { memory: quantityOf(bytes) },
        ...(reporting !== undefined && { memory: { freePageReporting: reporting === 'on' } }),
      },
      said: [
        ...childrenOf(domain, 'memory'),
        ...childrenOf(domain, 'currentMemory'),
        ...(balloonModel === 'virtio' && balloon ? [balloon] : []),
        ...oddRamCommandline(domain),
      ],
      kept: isLess && !isLive ? [`currentMemory ${quantityOf(readBytes(current))}`] : [],
    } satisfies PartReading;
  },
};

/** Huge pages are whole, so nothing but a migration that is not begun keeps a guest in them from losing what the odd size is for. */
function hasOddSize(
  { oddRamSize }: ChangeOptions | DomainXmlOptions,
  accelerator: DomainXmlOptions['accelerator'],
  hugepages: HugepageSize | undefined,
): boolean {
  return oddRamSize && accelerator === 'tcg' && hugepages === undefined;
}

function hugepagesNode(size: HugepageSize): XmlNode {
  return element('hugepages', {}, element('page', { size: PAGE_KIB[size], unit: 'KiB' }));
}

/** What else somebody has set of how the memory is backed stays. */
function changeHugepages(
  editor: XmlEditor,
  domain: XmlElement,
  wanted: HugepageSize | undefined,
): void {
  if (readHugepages(domain) === wanted) return;
  const backing = findElement(domain, 'memoryBacking');
  const present = findElement(backing, 'hugepages');
  if (wanted === undefined) {
    if (present !== undefined) editor.remove(present);
  } else if (present !== undefined) editor.replace(present, hugepagesNode(wanted));
  else if (backing !== undefined) editor.append(backing, hugepagesNode(wanted));
  else editor.append(domain, element('memoryBacking', {}, hugepagesNode(wanted)));
}

function quantityOf(bytes: number): string {
  return Number.isSafeInteger(bytes) ? formatBytesQuantity(BigInt(bytes)) : String(bytes);
}

/** Where QEMU is told nothing else. */
function oddRamCommandline(domain: XmlElement): readonly XmlElement[] {
  return childrenInNamespace(domain, QEMU_NAMESPACE, 'commandline').filter((commandline) => {
    const args = childrenOf(commandline);
    const own = childrenInNamespace(commandline, QEMU_NAMESPACE, 'arg');
    return args.length > 0 && findOddRamArguments(own).length === args.length;
  });
}

/** Without a statistics period: polling every guest would cost each of them its wake-ups. */
function balloonNode(reportsFreePages: boolean): XmlNode {
  const freePageReporting = reportsFreePages ? 'on' : 'off';
  return element('memballoon', { model: 'virtio', autodeflate: 'on', freePageReporting });
}

/** One of which nothing is wanted stays as it is. */
function changeBalloon(editor: XmlEditor, domain: XmlElement, wanted: boolean | undefined): void {
  const balloon = findElement(domain, 'devices', 'memballoon');
  if (wanted === undefined || balloon === undefined) return;
  const present = attributeOf(balloon, 'freePageReporting') === 'on';
  if (present !== wanted) editor.setAttribute(balloon, 'freePageReporting', wanted ? 'on' : 'off');
}

function changeOddRam(editor: XmlEditor, domain: XmlElement, memory: number | undefined): void {
  const commandline = childrenInNamespace(domain, QEMU_NAMESPACE, 'commandline')[0];
  const old = findOddRamArguments(childrenInNamespace(commandline, QEMU_NAMESPACE, 'arg'));
  const wanted = memory === undefined ? [] : oddRamArguments(memory);
  const present = old.map((arg) => attributeOf(arg, 'value'));
  if (isDeepStrictEqual(present, wanted)) return;
  for (const arg of old) editor.remove(arg);
  if (wanted.length === 0) return;
  const prefix = commandline?.name.split(':')[0] ?? prefixFor(domain, QEMU_NAMESPACE) ?? 'qemu';
  const nodes = argumentNodes(wanted, prefix);
  if (commandline !== undefined) {
    for (const node of nodes) editor.append(commandline, node);
    return;
  }
  if (prefixFor(domain, QEMU_NAMESPACE) === undefined) {
    editor.setAttribute(domain, `xmlns:${prefix}`, QEMU_NAMESPACE);
  }
  editor.append(domain, element(`${prefix}:commandline`, {}, ...nodes));
}
