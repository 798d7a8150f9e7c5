import type { DriftedPart } from '../../drivers/hypervisor-domains.ts';

/** Whether something of a VM was changed by somebody else, and nothing can be lost when it is put back. */
export function mayBePutBack(drift: readonly DriftedPart[]): boolean {
  return drift.length > 0 && !drift.includes('volumes');
}
