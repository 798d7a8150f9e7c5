import { parseBytes } from '../../core/quantity.ts';
import { formatBytes } from './quantities.ts';

/** An amount of a node's resource, for people; memory and huge pages are bytes, all else is shown as written. */
export function amountText(resource: string, amount: string): string {
  const bytes = parseBytes(amount);
  return bytes !== undefined && isBytes(resource) ? formatBytes(bytes) : amount;
}

/** What is left of what VMs may have. CPUs are shared, so nothing can be said of them. */
export function freeText(resource: string, allocatable: string, allocated: string): string {
  const whole = parseBytes(allocatable);
  const given = parseBytes(allocated);
  if (resource === 'cpu' || whole === undefined || given === undefined) return '';
  const free = whole > given ? whole - given : 0n;
  return isBytes(resource) ? formatBytes(free) : String(free);
}

function isBytes(resource: string): boolean {
  return resource === 'memory' || resource.startsWith('hugepages-');
}
