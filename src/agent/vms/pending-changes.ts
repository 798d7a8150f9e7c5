import { fieldChanges } from '../../core/resources/field-changes.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { formatOf, pathOf, type Volume } from '../../core/resources/volume.ts';
import { withoutUserData } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type {
  HypervisorDisk,
  HypervisorDomains,
  HypervisorVm,
} from '../../drivers/hypervisor-domains.ts';
import { isDamaged } from './known-spec.ts';
import type { PendingChange } from './vm.ts';

/** What of its definition is in force only after the VM's next start. */
export class PendingChanges {
  readonly #domains: Pick<HypervisorDomains, 'effectOf'>;
  /** By the live definition; compared anew only where one of the two has been read anew, or its disks are others. */
  readonly #compared = new WeakMap<
    VmDefinition,
    {
      readonly wanted: VmDefinition;
      readonly disks: readonly HypervisorDisk[];
      readonly changes: readonly PendingChange[];
    }
  >();

  constructor(domains: Pick<HypervisorDomains, 'effectOf'>) {
    this.#domains = domains;
  }

  of(
    wanted: VmDefinition,
    { liveDefinition: live, disks }: Pick<HypervisorVm, 'liveDefinition' | 'disks'>,
  ): readonly PendingChange[] {
    // Of one that cannot be read nothing is known that could be waited for.
    if (live === undefined || isDamaged(live) || isDamaged(wanted)) return [];
    const before = this.#compared.get(live);
    if (before?.wanted === wanted && before.disks === disks) return before.changes;
    // No definition has any user data; if one did, they would still be shown to nobody.
    const specs = [inForce(live.spec, wanted.spec, disks), wanted.spec].map((spec) => ({
      spec: withoutUserData(spec),
    }));
    const changes = fieldChanges(specs[0], specs[1])
      .filter(({ field }) => this.#domains.effectOf(field) === 'next-start')
      .map((change) => ({ field: change.field, live: change.before, wanted: change.after }));
    this.#compared.set(live, { wanted, disks, changes });
    return changes;
  }
}

/** What a VM was started with, and of its disks those images that virsh has given it since and that are wanted by now. */
function inForce(live: VmSpec, wanted: VmSpec, disks: readonly HypervisorDisk[]): VmSpec {
  const { volumes } = live.template.spec;
  if (volumes === undefined) return live;
  const now = volumes.map((volume) => {
    const next = wanted.template.spec.volumes?.find(({ name }) => name === volume.name);
    const image = disks.find(({ name }) => name === volume.name)?.images[0];
    const isThere =
      next !== undefined &&
      image !== undefined &&
      image.kind !== 'other' &&
      image.path === pathOf(next) &&
      image.format === formatOf(next);
    return isThere ? withImageOf(volume, next) : volume;
  });
  const { template } = live;
  return { ...live, template: { ...template, spec: { ...template.spec, volumes: now } } };
}

function withImageOf({ format: _format, source: _source, ...rest }: Volume, next: Volume): Volume {
  const { format, source } = next;
  return {
    ...rest,
    ...(format === undefined ? {} : { format }),
    ...(source === undefined ? {} : { source }),
  };
}
