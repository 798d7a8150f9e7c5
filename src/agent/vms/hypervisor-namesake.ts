import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';

/**
 * Another VM by the name that the hypervisor has or would have for this one, for people. Somebody may have renamed a VM here or
 * elsewhere, and VMs of other makers have names too.
 */
export function findHypervisorNamesake(
  listed: readonly HypervisorVm[],
  hypervisorName: string,
  { uid }: Pick<VmDefinition, 'uid'>,
): string | undefined {
  const other = listed.find((vm) => vm.hypervisorName === hypervisorName);
  return other === undefined || other.uid === uid ? undefined : describe(other);
}

/** Such as `3bb53ce4-96db-47be-b1a6-968b155232c8, VM default/two`. */
function describe({ uid, definition }: HypervisorVm): string {
  return definition === undefined ? uid : `${uid}, VM ${definition.namespace}/${definition.name}`;
}
