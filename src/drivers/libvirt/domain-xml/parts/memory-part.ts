import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../../../core/errors.ts';
import { formatBytesQuantity } from '../../../../core/quantity.ts';
import { memoryBytesOf } from '../../../../core/resources/machine-amounts.ts';
import { isAdopted } from '../adoption.ts';
import {
  acceleratorOf,
  type ChangeOptions,
  type DomainPart,
  type DomainXmlOptions,
  NOT_SET,
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
} from '../xml-query.ts';
import {
  findGrowingMemory,
  type GrowingMemory,
  growingMemoryNode,
  growthOf,
  maxMemoryNode,
  readGrowingMemory,
  targetNode,
} from './growing-memory.ts';
import { readBytes, UNITS } from './memory-amounts.ts';
import {
  argumentNodes,
  findOddRamArguments,
  oddRamArguments,
  QEMU_NAMESPACE,
} from './odd-ram-size.ts';

const MIB = 2 ** 20;

type HugepageSize = '2Mi' | '1Gi';

const PAGE_KIB: Readonly<Record<HugepageSize, string>> = { '2Mi': '2048', '1Gi': '1048576' };

/** How a domain's guest has its memory. */
export interface DomainMemory {
  /** What the guest begins with. */
  readonly bootBytes: number;
  /** What it can be given beside that while it runs. */
  readonly growing: GrowingMemory | undefined;
  /** What the guest of a live domain really has: less where its balloon has taken some, or it has not taken what is requested yet. */
  readonly actualBytes: number;
  readonly hasBalloon: boolean;
}

export function readMemory(domain: XmlElement): DomainMemory {
  const growing = readGrowingMemory(domain);
  const current = findElement(domain, 'currentMemory');
  const balloon = findElement(domain, 'devices', 'memballoon');
  return {
    bootBytes: readBytes(findElement(domain, 'memory')) - (growing?.sizeBytes ?? 0),
    growing,
    actualBytes: current === undefined ? readMemoryBytes(domain) : readBytes(current),
    hasBalloon: balloon !== undefined && attributeOf(balloon, 'model') !== 'none',
  };
}

/** Memory of the guest in bytes, with what is requested for it while it runs; NaN for a unit that libvirt does not have. */
export function readMemoryBytes(domain: XmlElement): number {
  const { sizeBytes, requestedBytes } = readGrowingMemory(domain) ?? {
    sizeBytes: 0,
    requestedBytes: 0,
  };
  return readBytes(findElement(domain, 'memory')) - sizeBytes + requestedBytes;
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

export type LossCause = 'hugepages' | 'growth' | 'start';

/** What an old QEMU would lose some of its memory for, see odd-ram-size.ts: how it was started, only where no agent has made it. */
export function readLossyMemory(domain: XmlElement): LossCause | undefined {
  if (acceleratorOf(domain) !== 'tcg' || hasOddRam(domain)) return undefined;
  if (readHugepages(domain) !== undefined) return 'hugepages';
  if (findGrowingMemory(domain) !== undefined) return 'growth';
  return isAdopted(domain) ? 'start' : undefined;
}

export const memoryPart: DomainPart = {
  drift: 'memory',

  effectOf(field, { after } = NOT_SET, sizes) {
    const effect = nextStart('resources.memory', 'memory')(field);
    if (field !== 'resources.memory' || sizes === undefined) return effect;
    const { leastBytes, mostBytes } = sizes.memory;
    const wanted = memoryBytesOf({ resources: { cpu: '1', memory: String(after) } });
    return wanted >= leastBytes && wanted <= mostBytes ? 'live' : effect;
  },

  build(machine, options) {
    const kib = memoryBytesOf(machine) / 1024;
    const hugepages = machine.memory?.hugepages;
    const growth = growthOf(machine);
    const odd = growth === undefined && hasOddSize(options, options.accelerator, hugepages);
    return {
      attributes: odd ? { 'xmlns:qemu': QEMU_NAMESPACE } : {},
      domain: [
        growth && maxMemoryNode(growth),
        element('memory', { unit: 'KiB' }, String(kib + (growth?.sizeBytes ?? 0) / 1024)),
        element('currentMemory', { unit: 'KiB' }, String(kib)),
        hugepages && element('memoryBacking', {}, hugepagesNode(hugepages)),
        odd ? element('qemu:commandline', {}, ...argumentNodes(oddRamArguments(kib))) : undefined,
      ],
      devices: [
        growth && growingMemoryNode(growth),
        balloonNode(machine.memory?.freePageReporting ?? hugepages === undefined),
      ],
    };
  },

  change(editor, domain, machine, options) {
    const bytes = memoryBytesOf(machine);
    const growth = growthOf(machine);
    changeAmounts(editor, domain, bytes, growth?.sizeBytes ?? 0);
    changeGrowth(editor, domain, growth);
    const { hugepages, freePageReporting } = machine.memory ?? {};
    const had = options.before?.memory;
    const isTakenBack = hugepages === undefined && had?.hugepages !== undefined;
    if (hugepages !== undefined || isTakenBack) changeHugepages(editor, domain, hugepages);
    const pages = isTakenBack ? undefined : (hugepages ?? readHugepages(domain));
    const odd = growth === undefined && hasOddSize(options, acceleratorOf(domain), pages);
    changeOddRam(editor, domain, odd ? bytes / 1024 : undefined);
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

function changeAmounts(
  editor: XmlEditor,
  domain: XmlElement,
  bytes: number,
  growthBytes: number,
): void {
  // While it runs, its balloon says what it has now, which is the guest's.
  const isLive = attributeOf(domain, 'id') !== undefined;
  const total = bytes + growthBytes;
  const isResized = Math.ceil(readBytes(findElement(domain, 'memory')) / MIB) * MIB !== total;
  // What somebody else has made may have begun with less, and in units of its own.
  if (!isResized && (isLive || isAdopted(domain))) return;
  for (const [name, wanted] of [
    ['memory', total],
    ['currentMemory', bytes],
  ] as const) {
    const memory = findElement(domain, name);
    if (memory === undefined) {
      // libvirt gives a domain all of its memory unless told otherwise.
      if (name === 'currentMemory' && total === bytes) continue;
      editor.append(domain, element(name, { unit: 'KiB' }, String(wanted / 1024)));
    } else if (readBytes(memory) !== wanted) {
      editor.setAttribute(memory, 'unit', 'KiB');
      editor.setText(memory, String(wanted / 1024));
    }
  }
}

/** What somebody else has of the kind stays, and then there is no place for ours. */
function changeGrowth(
  editor: XmlEditor,
  domain: XmlElement,
  growth: ReturnType<typeof growthOf>,
): void {
  const device = findGrowingMemory(domain);
  const most = findElement(domain, 'maxMemory');
  if (growth === undefined) {
    if (device === undefined) return;
    editor.remove(device);
    if (most !== undefined) editor.remove(most);
    return;
  }
  if (device === undefined) assertNoOthers(domain);
  if (most === undefined) editor.append(domain, maxMemoryNode(growth));
  else if (readBytes(most) !== growth.bootBytes + growth.sizeBytes) {
    editor.replace(most, maxMemoryNode(growth));
  }
  const devices = findElement(domain, 'devices');
  if (device === undefined) {
    if (devices !== undefined) editor.append(devices, growingMemoryNode(growth));
    return;
  }
  const isLive = attributeOf(domain, 'id') !== undefined;
  const present = readGrowingMemory(domain);
  const isSame = present?.sizeBytes === growth.sizeBytes;
  if (isSame && (isLive || present.requestedBytes === 0)) return;
  const target = findElement(device, 'target');
  if (target !== undefined) editor.replace(target, targetNode(growth));
}

function assertNoOthers(domain: XmlElement): void {
  const [memory] = childrenOf(findElement(domain, 'devices'), 'memory');
  const cell = findElement(domain, 'cpu', 'numa');
  const other = memory ?? findElement(domain, 'maxMemory') ?? cell;
  if (other === undefined) return;
  throw new AgentError(
    'FEATURE_NOT_SUPPORTED',
    `Cannot give it memory that grows: somebody else has given it <${other.name}> (virsh edit), beside which there is no place for it; take that out, or leave spec.template.spec.memory.max out`,
  );
}

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
