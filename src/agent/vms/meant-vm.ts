import { AgentError } from '../../core/errors.ts';
import type { Vm, VmRef } from './vm.ts';

/** Whether a VM of the name that is asked for is the one. */
export function isMeant({ definition }: Vm, { uid }: VmRef): boolean {
  return uid === undefined || uid === definition.uid;
}

/** Fails with VM_UID_MISMATCH. */
export function assertMeant(vm: Vm, ref: VmRef): void {
  if (isMeant(vm, ref)) return;
  throw new AgentError(
    'VM_UID_MISMATCH',
    `VM ${ref.name} is another one than was meant: it has uid ${vm.definition.uid}, not ${ref.uid}`,
    { metadata: { vmId: vm.definition.uid } },
  );
}
