import { formatBytesQuantity } from '../../../core/quantity.ts';
import type { FieldDifference } from '../../../core/resources/field-changes.ts';
import { memoryBytesOf, vcpusOf } from '../../../core/resources/machine-amounts.ts';
import type { LiveChange } from '../../hypervisor-devices.ts';
import type { LiveSizes } from '../../hypervisor-domains.ts';
import type { GuestOnline } from '../../hypervisor-guest-agent.ts';
import { readCurrentVcpus, readLeastVcpus, readMaxVcpus } from '../domain-xml/parts/cpu-count.ts';
import { findGrowingMemory, requestFor } from '../domain-xml/parts/growing-memory.ts';
import { type DomainMemory, readHugepages, readMemory } from '../domain-xml/parts/memory-part.ts';
import { XmlEditor } from '../domain-xml/xml-editor.ts';
import type { XmlElement } from '../domain-xml/xml-parser.ts';
import { findElement } from '../domain-xml/xml-query.ts';
import type { LiveCall, LivePair, LivePlanner, LiveXml } from './live-step.ts';

/*
 * How many CPUs a domain has and how much memory, while it runs. Memory beside what its guest has begun with is that of a device of
 * which the guest takes as much as is requested (virtio-mem); what is less than that the balloon has taken.
 */

const CPU = 'spec.template.spec.resources.cpu';
const MEMORY = 'spec.template.spec.resources.memory';
const KIB = 1024;
const MIB = 2 ** 20;

/** Of a live domain. */
export function readLiveSizes(domain: XmlElement): LiveSizes {
  const { bootBytes, growing, hasBalloon } = readMemory(domain);
  const isGivenBack = hasBalloon && readHugepages(domain) === undefined;
  return {
    vcpus: {
      given: readCurrentVcpus(domain),
      least: readLeastVcpus(domain),
      most: readMaxVcpus(domain),
    },
    memory: {
      givenBytes: bootBytes + (growing?.requestedBytes ?? 0),
      leastBytes: isGivenBack ? 0 : bootBytes,
      mostBytes: bootBytes + (growing?.sizeBytes ?? 0),
    },
  };
}

/** CPUs that are plugged in, and those that a guest is to let go of. */
export const planCpus: LivePlanner = ({ field }, { live, wanted }) => {
  if (field !== CPU) return undefined;
  const count = vcpusOf(wanted);
  return readCurrentVcpus(live.root) === count ? [] : [{ operation: 'setVcpus', values: [count] }];
};

/** Memory that a guest is to take or to give back. It is asked again for as long as it has not: that costs nothing. */
export const planMemory: LivePlanner = ({ field }, { live, wanted }) => {
  if (field !== MEMORY) return undefined;
  const memory = readMemory(live.root);
  const { growing } = memory;
  const { requestBytes, balloonBytes } = memoryDeed(memory, memoryBytesOf(wanted));
  const calls: LiveCall[] = [];
  const isRequested = growing?.requestedBytes === requestBytes;
  if (growing !== undefined && !(isRequested && growing.takenBytes === requestBytes)) {
    const device = deviceWith(live, requestBytes);
    if (device !== undefined) calls.push({ operation: 'updateDevice', values: [device] });
  }
  if (memory.hasBalloon && !isBalloonAsWanted(memory, balloonBytes)) {
    calls.push({ operation: 'setBalloon', values: [balloonBytes / KIB] });
  }
  return calls;
};

/** The device as it is, with so much requested of it: libvirt changes nothing else of one. */
function deviceWith({ root, source }: LiveXml, requestBytes: number): string | undefined {
  const device = findGrowingMemory(root);
  const requested = findElement(device, 'target', 'requested');
  if (device === undefined || requested === undefined) return undefined;
  const editor = new XmlEditor(source);
  editor.setAttribute(requested, 'unit', 'KiB');
  editor.setText(requested, String(requestBytes / KIB));
  const changed = editor.toString();
  return changed.slice(device.start, device.end + changed.length - source.length);
}

/** What is to be requested beside what the guest has begun with, and what of that the balloon is to leave. */
function memoryDeed({ bootBytes }: DomainMemory, wantedBytes: number) {
  return {
    requestBytes: requestFor(wantedBytes - bootBytes),
    balloonBytes: Math.min(wantedBytes, bootBytes),
  };
}

function isBalloonAsWanted(memory: DomainMemory, balloonBytes: number): boolean {
  const ofBoot = memory.actualBytes - (memory.growing?.takenBytes ?? 0);
  // A block of odd size is a little larger than what it was made for.
  return balloonBytes === memory.bootBytes ? ofBoot >= balloonBytes : ofBoot === balloonBytes;
}

/** What a guest has not done yet. */
export type GuestLack = Pick<LiveChange, 'lack' | 'cpusOnline'>;

/** The same of a change; undefined for a change of something else. */
export function whatGuestLacks(
  { field }: FieldDifference,
  { live, wanted }: LivePair,
): GuestLack | undefined {
  if (field === CPU) {
    const more = readCurrentVcpus(live.root) - vcpusOf(wanted);
    const count = more === 1 ? 'a CPU' : `${more} CPUs`;
    return { lack: `it has not given back ${count}: it has not answered, or has refused` };
  }
  if (field !== MEMORY) return undefined;
  const memory = readMemory(live.root);
  const has = `it has ${textOf(memory.actualBytes)} now`;
  const lack =
    memory.actualBytes < memoryBytesOf(wanted)
      ? `${has}, and takes more once it has a driver for virtio-mem, and its balloon has let go`
      : `${has}, and gives back the rest where it has drivers for virtio-balloon and virtio-mem, and memory to spare`;
  return { lack };
}

/** What is to be asked of a guest that has been given more; undefined where that is of no use. */
export function questionOf(
  { field, before }: FieldDifference,
  { live, wanted }: LivePair,
): { readonly asksMemory: boolean } | undefined {
  if (field === CPU) {
    const had = vcpusOf({ resources: { cpu: String(before), memory: '' } });
    return vcpusOf(wanted) > had ? { asksMemory: false } : undefined;
  }
  const isTaken = (readMemory(live.root).growing?.takenBytes ?? 0) > 0;
  return field === MEMORY && isTaken ? { asksMemory: true } : undefined;
}

/** What the guest does not use of what it has been given; undefined if it uses all. */
export function whatIsOffline(
  { cpus, memory }: GuestOnline,
  { live, wanted }: LivePair,
): GuestLack | undefined {
  if (memory === undefined) {
    const given = vcpusOf(wanted);
    const { online } = cpus;
    if (online >= given) return undefined;
    const lack = `${given} CPUs, ${online} online: bring the others online in it (echo 1 > /sys/devices/system/cpu/cpuN/online)`;
    return { lack, cpusOnline: online };
  }
  if (memory.offlineBytes === 0) return undefined;
  const has = textOf(readMemory(live.root).actualBytes);
  const lack = `${has}, of which ${textOf(memory.offlineBytes)} is offline: bring that online in it (echo online_movable > /sys/devices/system/memory/memoryN/state)`;
  return { lack };
}

/** In whole MiB. */
function textOf(bytes: number): string {
  return formatBytesQuantity(BigInt(Math.floor(bytes / MIB) * MIB));
}
