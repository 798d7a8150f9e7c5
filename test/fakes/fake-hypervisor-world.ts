import { AgentError } from '../../src/core/errors.ts';
import { resolvedMachine } from '../../src/core/made-disks.ts';
import { hasSeed } from '../../src/core/resources/has-seed.ts';
import { volumesOf } from '../../src/core/resources/volumes-of.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import type {
  AdoptableVm,
  HypervisorVm,
  VmRunState,
  VmStateReason,
} from '../../src/drivers/hypervisor-domains.ts';
import type { LifecycleEvent } from '../../src/drivers/hypervisor-events.ts';
import { EventFeed } from '../../src/drivers/libvirt/event-feed.ts';
import type { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import type { FakeWriters } from './fake-storage.ts';
import { disksOf, type FakeVm, isActive, toHypervisorVm } from './fake-vm.ts';

/** The VMs of a fake hypervisor, which all its parts share, and what is told of them. */
export class FakeHypervisorWorld {
  readonly vms = new Map<string, FakeVm>();
  readonly feed = new EventFeed();
  /** How often something was told or doubted. */
  told = 0;
  /** VMs whose definition is not one of ours, with what else there is to be known of them. */
  readonly foreign = new Map<string, Partial<AdoptableVm>>();
  /** VMs that do not say what they are. */
  readonly stuck = new Set<string>();
  /** What has the disks of all nodes; undefined where nobody asks who writes to them. */
  writers: FakeWriters | undefined;
  /** Of VMs that somebody has renamed. */
  readonly names = new Map<string, string>();
  /** VMs that have a console log here, or variables of UEFI. */
  readonly files = new Set<string>();
  /** Images of disks for cloud-init, by VM. */
  readonly seeds = new Map<string, Uint8Array>();
  /** Keys of disks, by VM and volume. */
  readonly diskKeys = new Map<string, Readonly<Record<string, string>>>();
  /** A run has ended. */
  onStopped: (uid: string) => void = () => {};
  readonly #behaviour: FakeHypervisorBehaviour;

  constructor(behaviour: FakeHypervisorBehaviour) {
    this.#behaviour = behaviour;
  }

  get(uid: string): FakeVm {
    const vm = this.vms.get(uid);
    if (vm === undefined) throw new AgentError('VM_NOT_FOUND', `There is no VM ${uid}`);
    return vm;
  }

  describe(vm: FakeVm): HypervisorVm {
    const plain = toHypervisorVm(vm);
    const seen = { ...plain, hypervisorName: this.names.get(plain.uid) ?? plain.hypervisorName };
    if (!this.foreign.has(seen.uid)) return seen;
    return { ...seen, definition: undefined, drift: [], liveDefinition: undefined };
  }

  /** As a listing has it, which waits for nothing. */
  list(vm: FakeVm): HypervisorVm {
    const described = this.describe(vm);
    const seen = vm.isDriftListed ? described : { ...described, drift: [] };
    if (!this.stuck.has(seen.uid)) return seen;
    const { uid, hypervisorName, state, stateReason, persistent } = seen;
    return {
      uid,
      hypervisorName,
      state,
      stateReason,
      persistent,
      isRead: false,
      definition: undefined,
      drift: [],
      liveDefinition: undefined,
      accelerator: 'tcg',
      machineType: '',
      vcpus: 0,
      cpu: '',
      memoryBytes: 0,
      hugepages: undefined,
      volumes: [],
      disks: [],
      interfaces: [],
      consoleLogPath: undefined,
    };
  }

  /** A console log, and variables of UEFI, are made at the first start, and where the VM arrives. */
  makeFiles({ live }: FakeVm): void {
    this.files.add(live.uid);
  }

  setState(vm: FakeVm, state: VmRunState, reason: VmStateReason): void {
    vm.state = state;
    vm.stateReason = reason;
    if (!mayWrite(vm)) this.writers?.close(vm.live.uid);
  }

  /** False if somebody else has its disks locked. Comes before whatever lets it run. */
  openDisks(vm: FakeVm): boolean {
    return this.writers?.open(vm.live.uid, disksOf(vm)) ?? true;
  }

  /** A VM that is off is being started, and somebody has to end that. */
  beginStart(uid: string): void {
    const vm = this.get(uid);
    if (!isActive(vm)) this.setState(vm, 'paused', 'starting-up');
  }

  /** What a hypervisor that begins does with starts that it was killed in: none has let a guest run. */
  endLostStarts(): void {
    for (const vm of this.vms.values()) if (isStarting(vm)) this.stop(vm, 'daemon-restarted');
  }

  /** Ends the run of a VM; one that is not persistent is gone. */
  stop(vm: FakeVm, reason: VmStateReason): void {
    const { uid } = vm.live;
    this.setState(vm, 'stopped', reason);
    vm.runningSinceMs = undefined;
    vm.openDrives.clear();
    if (vm.persistent === undefined) this.vms.delete(uid);
    else vm.live = vm.persistent;
    this.onStopped(uid);
    this.tell(uid, 'stopped');
  }

  tell(uid: string, event: LifecycleEvent, by?: 'migration' | 'host'): void {
    if (this.#behaviour.losesEvents) return;
    this.told += 1;
    const who = { byMigration: by === 'migration', byHost: by === 'host' };
    this.feed.publish({ kind: 'lifecycle', uid, event, ...who });
  }
}

/** A guest that is paused has its disks still, unless it is paused because it is somewhere else. */
function mayWrite({ state, stateReason }: FakeVm): boolean {
  if (state !== 'paused') return state === 'running' || state === 'shutting-down';
  return !['migration', 'postcopy', 'postcopy-failed'].includes(stateReason);
}

export function refuseStopped(vm: FakeVm): void {
  if (isActive(vm)) return;
  throw new AgentError('VM_NOT_RUNNING', `VM ${vm.live.uid} does not run`);
}

function isStarting({ state, stateReason }: FakeVm): boolean {
  return state === 'paused' && stateReason === 'starting-up';
}

export function refuseWithoutSeed(
  { seeds }: FakeHypervisorWorld,
  { uid, spec }: VmDefinition,
): void {
  if (!hasSeed(spec.template.spec) || seeds.has(uid)) return;
  throw new AgentError('HYPERVISOR_FAILURE', `VM ${uid} has no disk for cloud-init`);
}

export function refuseWithoutKeys(
  { diskKeys }: FakeHypervisorWorld,
  definition: VmDefinition,
): void {
  const { uid } = definition;
  const keys = diskKeys.get(uid) ?? {};
  const encrypted = volumesOf(resolvedMachine(definition)).filter(({ encryption }) => encryption);
  if (encrypted.every(({ name }) => Object.hasOwn(keys, name))) return;
  throw new AgentError('HYPERVISOR_FAILURE', `There is no key of a disk of VM ${uid}`);
}

export function refuseStarting(vm: FakeVm): void {
  if (isStarting(vm)) throw new AgentError('VM_BUSY', `VM ${vm.live.uid} is being started`);
}

export function refuseIncoming(vm: FakeVm): void {
  if (vm.job?.operation !== 'migration-in') return;
  throw new AgentError('VM_BUSY', `VM ${vm.live.uid} is arriving by a migration`);
}
