import { AgentError } from '../../core/errors.ts';
import { resolvedMachine } from '../../core/made-disks.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { pathOf, type Volume } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';

/*
 * Defining a VM gives it the disks of its manifest, and with them a disk below a snapshot that virsh has taken. libvirt tells
 * nobody of that, and a listing finds it only in time: what is asked here has to come from a look at the VM itself.
 */

/** Without a base libvirt merges the whole chain into its lowest image, which may be one that other VMs stand on. */
export const HOW_TO_MERGE =
  'merge a snapshot back with "virsh blockcommit VM DISK --active --pivot --base IMAGE", where IMAGE is the one of the manifest, and never without --base';

export function disksChanged({ name, uid }: Pick<VmDefinition, 'name' | 'uid'>): AgentError {
  return new AgentError(
    'VM_DISKS_CHANGED',
    `Cannot change VM ${name}: somebody has given it other disks than its manifest has, and the change would put those of the manifest back, which may lose data; compare with "virsh dumpxml --inactive ${uid}", then ${HOW_TO_MERGE}, or apply a manifest with the disks that it has`,
    { metadata: { vmId: uid } },
  );
}

type Found = Pick<HypervisorVm, 'drift' | 'disks' | 'definition'>;

/** Disks, and not what is in drives, that are others than the manifest has. */
function otherDisks({ drift, disks, definition }: Found): readonly Volume[] {
  if (!drift.includes('volumes')) return [];
  const found = new Map(disks.map(({ name, images }) => [name, images[0]?.path]));
  const volumes = (definition && resolvedMachine(definition).volumes) ?? [];
  return volumes.filter(
    (volume) => volume.kind !== 'cdrom' && pathOf(volume) !== found.get(volume.name),
  );
}

export function hasOtherDisks(found: Found): boolean {
  return otherDisks(found).length > 0;
}

/** Whether a disk that somebody has changed would be put back although the manifest has nothing new to say of it. */
export function putsDisksBack(found: Found, spec: VmSpec): boolean {
  const wanted = resolvedMachine({ spec, madeDisks: found.definition?.madeDisks ?? {} }).volumes;
  return otherDisks(found).some(({ name, source }) => {
    const now = wanted?.find((volume) => volume.name === name);
    return now !== undefined && pathOf(now) === pathOf({ source });
  });
}
