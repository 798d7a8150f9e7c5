import { assertMeant, isMeant } from './meant-vm.ts';
import type { Vm, VmRef } from './vm.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { Whereabouts } from './whereabouts.ts';

/** The VM that is meant. Fails if it is not here, or if it is not known what is here. */
export function findVm(
  ref: VmRef,
  {
    inventory,
    whereabouts,
  }: { readonly inventory: VmInventory; readonly whereabouts: Whereabouts },
): Vm {
  // Refuses to answer, and to give away memory, before it is known what is here.
  inventory.assertListed();
  const vm = inventory.findByName(ref.namespace, ref.name);
  if (vm === undefined) {
    inventory.assertAbsent(ref);
    throw whereabouts.notFound(ref, 'find');
  }
  if (!isMeant(vm, ref) && whereabouts.movedTo(ref.uid ?? '') !== undefined) {
    throw whereabouts.notFound(ref, 'find');
  }
  assertMeant(vm, ref);
  return vm;
}
