import { type HypervisorVm, isOn } from '../../drivers/hypervisor-domains.ts';
import type { VmStatistics } from '../../drivers/hypervisor-statistics.ts';

/** A VM on this node that no agent has made. It is left alone, but what it has nobody else can have. */
export interface ForeignVm {
  readonly uid: string;
  readonly hypervisorName: string;
  readonly vcpus: number;
  /** The most that it can come to have. */
  readonly memoryBytes: number;
  readonly hugepages: '2Mi' | '1Gi' | undefined;
}

/** Those of a listing that are on, or on their way here. */
export function foreignOf(
  domains: readonly HypervisorVm[],
  usage: ReadonlyMap<string, VmStatistics>,
): readonly ForeignVm[] {
  return domains
    .filter((domain) => domain.isRead && domain.definition === undefined && isOn(domain))
    .map(({ uid, hypervisorName, vcpus, memoryBytes, hugepages }) => ({
      uid,
      hypervisorName,
      vcpus,
      // Of one whose definition means nothing to us the hypervisor knows at least what it has now.
      memoryBytes: Math.max(memoryBytes, usage.get(uid)?.memoryActualBytes ?? 0),
      hugepages,
    }));
}
