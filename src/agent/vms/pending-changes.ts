import { changeKeyOf, type Present, runningDifferences } from '../../core/live-spec.ts';
import { withSizesSaid } from '../../core/made-disks.ts';
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
import type { LiveAttempts } from './live-attempts.ts';
import type { PendingChange } from './vm.ts';

type Live = Pick<
  HypervisorVm,
  'uid' | 'liveDefinition' | 'disks' | 'volumes' | 'interfaces' | 'letGo' | 'sizes'
>;

interface Compared {
  readonly wanted: VmDefinition;
  readonly disks: readonly HypervisorDisk[];
  readonly sizes: HypervisorVm['sizes'];
  readonly attempts: number;
  readonly changes: readonly PendingChange[];
}

/** Whether it is made while the VM runs. */
export function isLive({ waitsFor }: PendingChange): boolean {
  return waitsFor !== 'restart';
}

/** What of its definition is not in force yet. */
export class PendingChanges {
  readonly #domains: Pick<HypervisorDomains, 'effectOf'>;
  readonly #attempts: Pick<LiveAttempts, 'find' | 'version'>;
  /** By the live definition; compared anew only where one of the two has been read anew, its disks are others, or something was tried. */
  readonly #compared = new WeakMap<VmDefinition, Compared>();

  constructor(
    domains: Pick<HypervisorDomains, 'effectOf'>,
    attempts: Pick<LiveAttempts, 'find' | 'version'>,
  ) {
    this.#domains = domains;
    this.#attempts = attempts;
  }

  of(wanted: VmDefinition, found: Live): readonly PendingChange[] {
    const { disks, letGo, sizes } = found;
    const live = found.liveDefinition ?? (letGo === undefined ? undefined : wanted);
    // Of one that cannot be read nothing is known that could be waited for.
    if (live === undefined || isDamaged(live) || isDamaged(wanted)) return [];
    const { version } = this.#attempts;
    const before = this.#compared.get(live);
    const isSame = before?.wanted === wanted && before.disks === disks && before.sizes === sizes;
    if (isSame && before.attempts === version) return before.changes;
    const changes = this.#compare(live, wanted, found);
    this.#compared.set(live, { wanted, disks, sizes, attempts: version, changes });
    return changes;
  }

  #compare(live: VmDefinition, wanted: VmDefinition, found: Live): readonly PendingChange[] {
    // No definition has any user data; if one did, they would still be shown to nobody.
    const { template } = live.spec;
    const machine = withSizesSaid(template.spec, live.madeDisks, wanted.spec.template.spec);
    const sized = { ...live.spec, template: { ...template, spec: machine } };
    const now = { ...live, spec: withoutUserData(inForce(sized, wanted.spec, found.disks)) };
    const next = { ...wanted, spec: withoutUserData(wanted.spec) };
    const present: Present = {
      volumes: found.volumes.map(({ name }) => name),
      networks: found.interfaces.map(({ name }) => name),
      letGo: found.letGo,
    };
    return runningDifferences(now, next, present).flatMap((change): PendingChange[] => {
      const { field, before, after } = change;
      const effect = this.#domains.effectOf(field, change, found.sizes);
      if (effect === 'now') return [];
      const attempt =
        effect === 'live' ? this.#attempts.find(wanted, changeKeyOf(change)) : undefined;
      const isAsked = attempt !== undefined && attempt.problem === undefined;
      return [
        {
          field,
          live: before,
          wanted: after,
          waitsFor: effect === 'next-start' ? 'restart' : isAsked ? 'guest' : 'agent',
          sinceMs: attempt?.sinceMs,
          problem: attempt?.problem,
          ...(attempt?.lack !== undefined && { lack: attempt.lack }),
          ...(attempt?.cpusOnline !== undefined && { cpusOnline: attempt.cpusOnline }),
        },
      ];
    });
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
