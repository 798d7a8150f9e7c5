import { isDeepStrictEqual } from 'node:util';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { isOn } from '../../drivers/hypervisor-domains.ts';
import type { SeenVm } from '../reconcile/controller.ts';
import type { Condition } from '../reports/report.ts';
import type { WatchdogFirings } from '../runs/run-book.ts';
import type { Vm } from '../vms/vm.ts';
import type { EventVm } from './event.ts';

/** A VM with what the hypervisor has of it. */
export type WholeVm = { readonly [Part in keyof SeenVm]-?: NonNullable<SeenVm[Part]> };

/** Whose copy of a VM is here: this node's, another node's that is older, or one that says that another host owns it. */
type CopyKind = 'own' | 'stale' | 'stray';

/** What of a VM's last look is remembered, over the lives of agents, so that the next one shows what has happened since. */
export interface VmSight {
  readonly vm: EventVm;
  readonly isOn: boolean;
  /** When its run began; undefined if it is off or nobody knows. */
  readonly runSinceMs: number | undefined;
  /** How its last run has ended, as far as that was told: the cause, empty for none, and when. */
  readonly endCause: string;
  readonly endAtMs: number;
  /** Why it is paused, in one word; empty if it is not. */
  readonly pause: string;
  /** What is in its drives, by volume; empty for nothing, and for a drive that is open. */
  readonly media: Readonly<Record<string, string>>;
  readonly generation: number;
  readonly content: Pick<VmDefinition, 'labels' | 'annotations' | 'spec'> | undefined;
  readonly drift: readonly string[];
  readonly copy: CopyKind;
  readonly conditions: readonly SeenCondition[];
  /** How often its guest has begun anew while this agent looked. */
  readonly reboots: number;
  /** When it last did; 0 if this agent has not seen that. */
  readonly rebootedAtMs: number;
  /** How often the watchdog of its guest has fired while this agent looked. */
  readonly watchdog?: WatchdogFirings | undefined;
  /** When it is to be started again by itself, as far as this agent has planned that. */
  readonly nextStartMs: number | undefined;
  /** When it was seen like this. */
  readonly atMs: number;
}

export type SeenCondition = Pick<Condition, 'type' | 'status' | 'lastTransitionAtMs'>;

/** Pauses that end by themselves within moments, and of which nobody needs to hear. */
const PASSING: readonly string[] = ['StartingUp', 'Migration', 'ShuttingDown'];

/** Whether anything can be concluded from how it was seen. */
export function isWhole(seen: SeenVm): seen is WholeVm {
  const { domain, vm } = seen;
  if (domain?.isRead !== true || vm?.isRead !== true) return false;
  return vm.phase !== 'unknown' && vm.phase !== 'pending';
}

export function sightOf(
  { vm, domain }: WholeVm,
  before: VmSight | undefined,
  { reboots, watchdog, atMs }: Pick<VmSight, 'reboots' | 'watchdog' | 'atMs'>,
): VmSight {
  const { namespace, name, uid, generation, labels, annotations, spec } = vm.definition;
  const { end } = vm.run ?? {};
  return {
    vm: { namespace, name, uid },
    isOn: isOn(domain),
    runSinceMs: domain.runningSinceMs,
    endCause: end?.cause ?? '',
    endAtMs: end?.atMs ?? 0,
    pause: pauseOf(vm, before?.pause ?? ''),
    media: mediaOf(vm),
    generation,
    content: { labels, annotations, spec },
    drift: driftOf(vm),
    copy: copyOf(vm),
    conditions: seenConditions(vm.conditions, before?.conditions ?? []),
    reboots,
    rebootedAtMs: reboots > (before?.reboots ?? 0) ? atMs : (before?.rebootedAtMs ?? 0),
    watchdog,
    nextStartMs: vm.restart?.nextStartMs,
    atMs,
  };
}

/** That of a VM which was made just now, and of which nothing else is known yet. */
export function sightOfNew(vm: EventVm, atMs: number): VmSight {
  return {
    vm,
    isOn: false,
    runSinceMs: undefined,
    endCause: '',
    endAtMs: 0,
    pause: '',
    media: {},
    generation: 0,
    content: undefined,
    drift: [],
    copy: 'own',
    conditions: [],
    reboots: 0,
    rebootedAtMs: 0,
    nextStartMs: undefined,
    atMs,
  };
}

/** What the next agent must know, which begins to look anew. */
export function lastingPart(sight: VmSight): VmSight {
  return { ...sight, reboots: 0, rebootedAtMs: 0, watchdog: undefined, nextStartMs: undefined };
}

/** Whether what lasts is the same, whenever it was seen. */
export function isSameSight(left: VmSight, right: VmSight): boolean {
  return isDeepStrictEqual(lastingPart({ ...left, atMs: 0 }), lastingPart({ ...right, atMs: 0 }));
}

function pauseOf({ phase, reason }: Vm, before: string): string {
  // A migration hides whether it is paused.
  if (phase === 'migrating') return before;
  return phase !== 'paused' || PASSING.includes(reason) ? '' : reason;
}

function mediaOf({ definition, volumes }: Vm): Readonly<Record<string, string>> {
  const drives = (definition.spec.template.spec.volumes ?? []).filter(
    ({ kind }) => kind === 'cdrom',
  );
  return Object.fromEntries(
    drives.flatMap(({ name }) => {
      const drive = volumes.find((volume) => volume.name === name);
      return drive === undefined ? [] : [[name, drive.isOpen === true ? '' : (drive.path ?? '')]];
    }),
  );
}

/** `disks` of one that has been given others while it runs. */
function driftOf({ drift, diskDifference }: Vm): readonly string[] {
  return diskDifference === undefined || drift.length > 0 ? drift : ['disks'];
}

function copyOf({ reason, conditions }: Vm): CopyKind {
  if (reason === 'StaleCopy') return 'stale';
  return conditions.some(({ type }) => type === 'StrayCopy') ? 'stray' : 'own';
}

/** The same array if none has changed. */
function seenConditions(
  conditions: readonly Condition[],
  before: readonly SeenCondition[],
): readonly SeenCondition[] {
  const isSame =
    conditions.length === before.length &&
    conditions.every(({ type, status, lastTransitionAtMs }, index) => {
      const other = before[index];
      return (
        type === other?.type &&
        status === other.status &&
        lastTransitionAtMs === other.lastTransitionAtMs
      );
    });
  if (isSame) return before;
  return conditions.map(({ type, status, lastTransitionAtMs }) => ({
    type,
    status,
    lastTransitionAtMs,
  }));
}
