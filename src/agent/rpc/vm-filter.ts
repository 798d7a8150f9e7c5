import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import { fromRef } from './common-conversion.ts';
import type { FieldChecks } from './field-checks.ts';

interface VmFilterMessage {
  readonly virtualMachine: VirtualMachineRef | undefined;
  readonly namespace: string;
}

/** Chooses what belongs to VMs that may be gone. */
interface VmFilter {
  readonly vmUid: string | undefined;
  readonly vmName: { readonly namespace: string; readonly name: string } | undefined;
  readonly namespace: string | undefined;
}

/** A uid alone is enough: the VM may be gone, and its name another's. */
export function fromVmFilter(
  { virtualMachine: ref, namespace: within }: VmFilterMessage,
  checks: FieldChecks,
): VmFilter {
  const all = { vmUid: undefined, vmName: undefined, namespace: undefined };
  if (ref === undefined) {
    return within === '' ? all : { ...all, namespace: checks.dnsLabel('namespace', within) };
  }
  if (within !== '') checks.add('namespace', 'cannot be given together with virtualMachine');
  const uid = checks.optionalUuid('virtualMachine.uid', ref.uid);
  if (uid !== undefined) return { ...all, vmUid: uid };
  const { namespace, name } = fromRef(ref, 'virtualMachine', checks);
  return { ...all, vmName: { namespace, name } };
}
