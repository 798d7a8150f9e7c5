import { formatBytesQuantity, parseBytes } from '../../core/quantity.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { memoryBytesOf, nodeMemoryBytesOf, vcpusOf } from '../../core/resources/machine-amounts.ts';
import type { HostFacts } from '../../drivers/host.ts';
import type { Amounts } from './node.ts';

/** CPUs that VMs have to themselves, as a resource. */
export const DEDICATED_CPUS = 'dedicated-cpus';

/** CPUs that nobody has to himself are shared, and only reported; of everything else nothing is given twice. */
const SHARED: readonly string[] = ['cpu'];

/** What a machine takes of its node. */
export function amountsOf(machine: Machine): Amounts {
  const isDedicated = machine.cpu?.dedicated === true;
  const cpus = vcpusOf(machine);
  const ofCpus = isDedicated ? { [DEDICATED_CPUS]: cpus } : { cpu: cpus * 1000 };
  const memory = nodeMemoryBytesOf(machine);
  const pages = machine.memory?.hugepages;
  if (pages === undefined) return { ...ofCpus, memory };
  // The guest's memory comes from the huge pages, whole ones; the rest does not.
  const guest = memoryBytesOf(machine);
  const pageBytes = Number(parseBytes(pages));
  const inPages = Math.ceil(guest / pageBytes) * pageBytes;
  return { ...ofCpus, memory: memory - guest, [`hugepages-${pages}`]: inPages };
}

/** What a host has. `dedicated`: how many of its CPUs are for VMs that share none. */
export function capacityOf(
  { cpus, memoryBytes, hugepages }: HostFacts,
  dedicated: number,
): Amounts {
  const pages = Object.entries(hugepages).map(([size, bytes]) => [`hugepages-${size}`, bytes]);
  const ofDedicated = dedicated === 0 ? {} : { [DEDICATED_CPUS]: dedicated };
  return { cpu: cpus * 1000, memory: memoryBytes, ...ofDedicated, ...Object.fromEntries(pages) };
}

/**
 * What VMs may have of it: memory without what is kept for the host, and without what huge pages have taken; CPUs to share without
 * those that are not.
 */
export function allocatableOf(
  host: HostFacts,
  reservedMemoryBytes: number,
  dedicated: number,
): Amounts {
  const inPages = Object.values(host.hugepages).reduce((sum, bytes) => sum + bytes, 0);
  const memory = Math.max(0, host.memoryBytes - inPages - reservedMemoryBytes);
  return { ...capacityOf(host, dedicated), cpu: (host.cpus - dedicated) * 1000, memory };
}

export function sumOf(all: readonly Amounts[]): Amounts {
  const sum: Record<string, number> = {};
  for (const amounts of all) {
    for (const [resource, amount] of Object.entries(amounts)) {
      sum[resource] = (sum[resource] ?? 0) + amount;
    }
  }
  return sum;
}

/** A resource of which more is wanted than is left; undefined if there is enough of all. */
export function findShortage(
  wanted: Amounts,
  allocated: Amounts,
  allocatable: Amounts,
): { readonly resource: string; readonly wanted: number; readonly left: number } | undefined {
  for (const [resource, amount] of Object.entries(wanted)) {
    const left = (allocatable[resource] ?? 0) - (allocated[resource] ?? 0);
    if (amount > left && amount > 0 && !SHARED.includes(resource)) {
      return { resource, wanted: amount, left: Math.max(0, left) };
    }
  }
  return undefined;
}

const MIB = 2 ** 20;

/** An amount of a resource, for people: CPUs by their number, all else in MiB. */
export function amountText(resource: string, amount: number, rounded: 'up' | 'down'): string {
  return resource === DEDICATED_CPUS ? String(amount) : amountInMib(amount, rounded);
}

/** For people, who ask for memory in whole MiB. */
export function amountInMib(bytes: number, rounded: 'up' | 'down'): string {
  const mib = rounded === 'up' ? Math.ceil(bytes / MIB) : Math.floor(bytes / MIB);
  return formatBytesQuantity(BigInt(mib) * BigInt(MIB));
}
