import { volumesOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';

/** What of its disks a VM has otherwise than its volumes say, by somebody else's doing. For people. */
export interface DiskDifference {
  /** Such as `vdb (/srv/data.img)`. */
  readonly attached: readonly string[];
  /** Names of volumes. */
  readonly detached: readonly string[];
}

/** What a VM's disks are now against what it was started with; undefined if that is the same. */
export function diskDifference(
  {
    disks,
    liveDefinition,
    keptDisks,
  }: Pick<HypervisorVm, 'disks' | 'liveDefinition' | 'keptDisks'>,
  definition: VmDefinition,
): DiskDifference | undefined {
  const live = liveDefinition ?? definition;
  // Its disks may be what this version does not know.
  if (live.newer !== undefined) return undefined;
  const volumes = volumesOf(live.spec.template.spec).map(({ name }) => name);
  const attached = disks
    .filter(({ name }) => !volumes.includes(name) && keptDisks?.includes(name) !== true)
    .map(({ target, images }) => (images[0] ? `${target} (${images[0].path})` : target));
  const present = disks.map(({ name }) => name);
  const detached = volumes.filter((name) => !present.includes(name));
  return attached.length + detached.length === 0 ? undefined : { attached, detached };
}

/** In the words of a sentence about the VM. */
export function differenceText({ attached, detached }: DiskDifference): string {
  const parts = [
    ...(attached.length === 0 ? [] : [`attached: ${attached.join(', ')}`]),
    ...(detached.length === 0 ? [] : [`detached: ${detached.join(', ')}`]),
  ];
  return parts.join('; ');
}
