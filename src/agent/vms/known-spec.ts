import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { commandNameOf } from './vm-words.ts';

/** Of a VM whose manifest is damaged: nothing of it can be told or changed, and its disks are not touched by this. */
export function isDamaged({ newer }: Pick<VmDefinition, 'newer'>): boolean {
  return newer?.isDamaged === true;
}

/** What a newer agent has given a VM, for people. */
export function newerFieldsText({ newer }: Pick<VmDefinition, 'newer'>): string {
  return newer?.unknownFields.join(', ') || 'its version';
}

/** How to go on with a VM whose manifest is damaged. */
export function howToMend(definition: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return `shut it down, delete it with novactl vm delete ${commandNameOf(definition)} and create it anew from a manifest; its disks stay`;
}

/** Must be called before a VM is changed: what of its manifest is not understood would be lost. Fails with VM_SPEC_NEWER or VM_SPEC_DAMAGED. */
export function assertSpecKnown(definition: VmDefinition): void {
  const { name, uid: vmId, newer } = definition;
  if (newer === undefined) return;
  if (isDamaged(definition)) {
    throw new AgentError(
      'VM_SPEC_DAMAGED',
      `Cannot change VM ${name}: the manifest that libvirt keeps with it is damaged and cannot be read; ${howToMend(definition)}`,
      { metadata: { vmId } },
    );
  }
  throw new AgentError(
    'VM_SPEC_NEWER',
    `Cannot change VM ${name}: a newer agent has given it ${newerFieldsText(definition)}, which this one does not know; upgrade this node's agent, or move the VM to a node with a newer one`,
    { metadata: { vmId } },
  );
}
