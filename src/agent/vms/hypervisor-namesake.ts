import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';

/** Somebody may have renamed a VM here or elsewhere, and VMs of other makers have names too. */
export async function findHypervisorNamesake(
  domains: Pick<HypervisorDomains, 'list'>,
  hypervisorName: string,
  { uid }: Pick<VmDefinition, 'uid'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const listed = await domains.list(signal);
  const other = listed.find((vm) => vm.hypervisorName === hypervisorName);
  return other === undefined || other.uid === uid ? undefined : describe(other);
}

/** Such as `3bb53ce4-96db-47be-b1a6-968b155232c8, VM default/two`. */
function describe({ uid, definition }: HypervisorVm): string {
  return definition === undefined ? uid : `${uid}, VM ${definition.namespace}/${definition.name}`;
}
