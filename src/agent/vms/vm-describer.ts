import type { VmDefinition } from '../../core/vm-definition.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  isOn,
} from '../../drivers/hypervisor-domains.ts';
import type { VmStatistics } from '../../drivers/hypervisor-statistics.ts';
import type { Origins, ReportOrigin } from '../reports/report.ts';
import { CpuUsage } from './cpu-usage.ts';
import { diskDifference } from './disk-difference.ts';
import type { LiveAttempts } from './live-attempts.ts';
import type { OwnershipRecord } from './ownership-store.ts';
import { PendingChanges } from './pending-changes.ts';
import { SettledConditions } from './settled-conditions.ts';
import type { Vm } from './vm.ts';
import type { KnownCondition } from './vm-conditions.ts';
import { type PhaseReport, phaseOf, type VmContext } from './vm-phase.ts';

export interface VmDescriberOptions {
  readonly domains: Pick<HypervisorDomains, 'effectOf'>;
  readonly liveAttempts: Pick<LiveAttempts, 'find' | 'version'>;
  readonly origins: Origins;
  readonly contextOf: (vmUid: string) => VmContext;
  /** The conditions of a VM as an earlier agent has last seen them. */
  readonly rememberedConditions: (vmUid: string) => readonly KnownCondition[];
  /** Copies that another node owns by now. */
  readonly isStale: (definition: VmDefinition) => boolean;
  /** Copies that say that another host owns them. */
  readonly isStray: (definition: VmDefinition) => boolean;
  readonly hasDiskLeases: boolean;
  /** See `DeviceIdentities.problemOf`. */
  readonly deviceProblemOf: (path: string) => string;
}

const STALE_COPY: PhaseReport = {
  phase: 'failed',
  reason: 'StaleCopy',
  message: 'Another node owns this VM; this copy must not run and can be deleted',
};
const STRAY_COPY: PhaseReport = {
  phase: 'failed',
  reason: 'StrayCopy',
  message:
    'Its definition says that another host owns it, so it is not started here; use the copy there, or delete this one',
};

const CREATING: PhaseReport = {
  phase: 'pending',
  reason: 'Creating',
  message: 'It is being made',
};

/** What nobody knows of a VM that no hypervisor has described. */
const UNDESCRIBED = {
  liveDefinition: undefined,
  pendingChanges: [],
  drift: [],
  accelerator: undefined,
  machineType: '',
  volumes: [],
  interfaces: [],
  statistics: undefined,
  migration: undefined,
  run: undefined,
  restart: undefined,
} as const;

/** Why it cannot be said what a VM is now. */
export type UnknownCause = 'unreachable' | 'not-read' | 'leaving';

const UNKNOWN: Readonly<Record<UnknownCause, PhaseReport>> = {
  unreachable: {
    phase: 'unknown',
    reason: 'HypervisorUnreachable',
    message: 'The hypervisor cannot be asked; the VM may be running',
  },
  'not-read': {
    phase: 'unknown',
    reason: 'NotRead',
    message: 'libvirt has it and cannot describe it; look for what it waits for on the node',
  },
  leaving: {
    phase: 'migrating',
    reason: 'Leaving',
    message: 'It is gone from this node; that it has arrived at the other one is not confirmed yet',
  },
};

/** Says what a VM is, from what the hypervisor and the agent know of it and from what was said before. */
export class VmDescriber {
  readonly #options: VmDescriberOptions;
  readonly #pendingChanges: PendingChanges;
  readonly #cpuUsage = new CpuUsage();
  readonly #settled = new SettledConditions();

  constructor(options: VmDescriberOptions) {
    this.#options = options;
    this.#pendingChanges = new PendingChanges(options.domains, options.liveAttempts);
  }

  describe(
    found: HypervisorVm,
    definition: VmDefinition,
    usage: VmStatistics | undefined,
    previous: Vm | undefined,
  ): Vm {
    const context = this.#options.contextOf(found.uid);
    const { hasDiskLeases, deviceProblemOf } = this.#options;
    const isStray = this.#options.isStray(definition);
    const pendingChanges = this.#pendingChanges.of(definition, found);
    const difference = diskDifference(found, definition);
    let state = isStray && !isOn(found) ? STRAY_COPY : phaseOf(found, context);
    if (this.#options.isStale(definition)) state = STALE_COPY;
    return {
      isRead: true,
      definition,
      liveDefinition: found.liveDefinition,
      ...state,
      conditions: this.#settled.of(
        {
          isRead: true,
          definition,
          liveDefinition: found.liveDefinition,
          state,
          context,
          pendingChanges,
          drift: found.drift,
          diskDifference: difference,
          isStray,
          hasDiskLeases,
          deviceProblemOf,
          guestAgent: found.guestAgent,
          boundDevices: found.boundDevices,
          lossyMemory: found.lossyMemory,
        },
        previous?.conditions ?? this.#options.rememberedConditions(found.uid),
      ),
      pendingChanges,
      drift: found.drift,
      ...(found.kept && { kept: found.kept }),
      ...(found.hugepages && { hugepages: found.hugepages }),
      ...(found.boundDevices && { boundDevices: found.boundDevices }),
      ...(found.sizes && { sizes: found.sizes }),
      diskDifference: difference,
      accelerator: found.accelerator,
      machineType: found.machineType,
      volumes: found.volumes,
      interfaces: found.interfaces,
      statistics:
        usage === undefined || !isOn(found) ? undefined : this.#cpuUsage.measure(found.uid, usage),
      guestAgent: found.guestAgent,
      migration: context.migration,
      run: context.run,
      runningSinceMs: runningSince(found, context),
      restart: context.restart,
      origin: previous?.origin ?? this.#options.origins.current(),
    };
  }

  /** As it was known, for as long as nobody can say what it is now. */
  describeUnknown(vm: Vm, cause: UnknownCause): Vm {
    const state = UNKNOWN[cause];
    const conditions = this.#conditions(vm, state);
    const { migration, restart } = this.#options.contextOf(vm.definition.uid);
    return { ...vm, ...state, statistics: undefined, conditions, migration, restart };
  }

  /** One that nobody could read: by what is recorded of it. */
  describeUnread(record: OwnershipRecord, previous: Vm | undefined): Vm {
    const { origins } = this.#options;
    const vm: Vm = {
      ...UNDESCRIBED,
      isRead: false,
      definition: recordedDefinition(record),
      ...UNKNOWN['not-read'],
      conditions: previous?.conditions ?? [],
      origin: previous?.origin ?? origins.current(),
    };
    return this.describeUnknown(vm, 'not-read');
  }

  /** One that is being made and is not there yet. */
  describeComing(definition: VmDefinition, previous: Vm | undefined): Vm {
    const { origins } = this.#options;
    const vm: Vm = {
      ...UNDESCRIBED,
      isRead: true,
      definition,
      ...CREATING,
      conditions: previous?.conditions ?? [],
      origin: previous?.origin ?? origins.current(),
    };
    return { ...vm, conditions: this.#conditions(vm, CREATING) };
  }

  /** One whose creation has come to nothing. */
  describeNotMade(vm: Vm, why: PhaseReport): Vm {
    return { ...vm, ...why, statistics: undefined, conditions: this.#conditions(vm, why) };
  }

  forget(vmUid: string): void {
    this.#cpuUsage.forget(vmUid);
  }

  /** Of a VM in another state than it was last told to be in. */
  #conditions(vm: Vm, state: PhaseReport): Vm['conditions'] {
    const { isRead, definition, liveDefinition, pendingChanges, drift, diskDifference } = vm;
    const { hasDiskLeases, deviceProblemOf, contextOf } = this.#options;
    const context = contextOf(definition.uid);
    const isStray = this.#options.isStray(definition);
    const { guestAgent, boundDevices } = vm;
    const ofDisks = { hasDiskLeases, deviceProblemOf, diskDifference };
    const more = { liveDefinition, isStray, guestAgent, boundDevices, ...ofDisks };
    const facts = { isRead, definition, state, context, pendingChanges, drift, ...more };
    return this.#settled.of(facts, vm.conditions);
  }
}

/** As the run itself has it, or else since when it has been seen on here. */
function runningSince({ runningSinceMs, state }: HypervisorVm, { run }: VmContext) {
  if (!isOn({ state })) return undefined;
  return runningSinceMs ?? (run?.isOn === true && run.sinceMs > 0 ? run.sinceMs : undefined);
}

/** One that is not made yet, for a dry run or until it is listed. */
export function plannedVm(definition: VmDefinition, origin: ReportOrigin): Vm {
  return {
    ...UNDESCRIBED,
    isRead: true,
    definition,
    phase: 'pending',
    reason: 'DryRun',
    message: '',
    conditions: [],
    origin,
  };
}

/** Stands in for a definition that could not be read. Manual, so that nothing is done to the VM by itself. */
function recordedDefinition(record: OwnershipRecord): VmDefinition {
  const { namespace, name, uid, ownershipEpoch } = record;
  return {
    namespace,
    name,
    uid,
    generation: 0,
    labels: {},
    annotations: {},
    createdAtMs: 0,
    spec: { runStrategy: 'Manual', template: { spec: { resources: { cpu: '0', memory: '0' } } } },
    ownershipEpoch,
    owner: '',
    intent: 'off',
    privateFiles: {},
    madeDisks: {},
    newer: undefined,
  };
}
