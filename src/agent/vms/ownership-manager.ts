import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type {
  HypervisorDomains,
  HypervisorVm,
  VmStateReason,
} from '../../drivers/hypervisor-domains.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { type Ownership, whyUnconfirmed } from './ownership.ts';
import type { OwnershipService, VmPresence, VmSighting } from './vm-peers.ts';

export interface OwnershipManagerOptions {
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly ownership: Ownership;
  readonly locks: KeyLocks;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  readonly log: Logger;
}

const ON_THE_MOVE: readonly VmStateReason[] = [
  'migration',
  'postcopy',
  'postcopy-failed',
  'starting-up',
];
const RETRY_AFTER_MS = 1_000;

/** Answers other nodes that ask about VMs, and gives them those that have gone there behind the agents' backs. */
export class OwnershipManager implements OwnershipService {
  readonly #options: OwnershipManagerOptions;

  constructor(options: OwnershipManagerOptions) {
    this.#options = options;
  }

  async locate(vmUid: string, caller: string, signal: AbortSignal): Promise<VmSighting> {
    const { host, domains, ownership, locks } = this.#options;
    await ownership.learnHost(host, signal);
    // Before the look: what begins after it will ask the caller, which has locked the VM.
    const isLocked = locks.purposeOf(vmUid) !== undefined;
    const vm = await domains.find(vmUid, signal);
    const isGiven = ownership.find(vmUid)?.left?.toNode === caller;
    const isOwner = isGiven || this.#owns(vmUid, vm);
    const isRunning = vm !== undefined && hasRunHere(vm);
    const recorded = ownership.find(vmUid)?.ownershipEpoch ?? 0;
    const ownershipEpoch = Math.max(vm?.definition?.ownershipEpoch ?? 0, recorded);
    return { presence: this.#presenceOf(vm, isLocked), isOwner, isRunning, ownershipEpoch };
  }

  async handOver(
    { vmUid, ownershipEpoch }: { readonly vmUid: string; readonly ownershipEpoch: number },
    caller: string,
    signal: AbortSignal,
  ): Promise<number> {
    const { host, domains, ownership, locks, onChange, log } = this.#options;
    const epoch = ownershipEpoch + 1;
    await ownership.learnHost(host, signal);
    using lock = await locks.acquire(vmUid, `handing over to node ${caller}`, signal);
    if (lock === undefined) {
      throw new AgentError('VM_BUSY', `${locks.purposeOf(vmUid)} of the VM is in progress`, {
        metadata: { vmId: vmUid },
        retryAfterMs: RETRY_AFTER_MS,
      });
    }
    const left = ownership.find(vmUid)?.left;
    // The answer may have been lost.
    if (left?.toNode === caller && left.epoch === epoch) return epoch;
    const unconfirmed = ownership.unconfirmed(vmUid);
    if (unconfirmed !== undefined) throw notYetOurs(vmUid, whyUnconfirmed(unconfirmed));
    const vm = await domains.find(vmUid, signal);
    this.#assertOwned(vmUid, ownershipEpoch, vm);
    assertMovedAway(vmUid, vm);
    const named = vm?.definition ?? ownership.find(vmUid);
    if (named === undefined) throw new Error('Nothing can be owned without a name');
    signal.throwIfAborted();
    await ownership.release({ ...named, uid: vmUid }, epoch, caller);
    log.warn({ vmId: vmUid, peer: caller }, 'A VM that was moved by hand belongs to its new node');
    onChange();
    return epoch;
  }

  #presenceOf(vm: HypervisorVm | undefined, isLocked: boolean): VmPresence {
    if (vm === undefined) return isLocked ? 'coming' : 'absent';
    if (vm.state === 'incoming') return 'coming';
    const isStale = vm.definition !== undefined && this.#options.ownership.isStale(vm.definition);
    return isStale && vm.state === 'stopped' ? 'absent' : 'held';
  }

  #owns(vmUid: string, vm: HypervisorVm | undefined): boolean {
    const { ownership } = this.#options;
    if (vm === undefined) return ownership.isOwner(vmUid);
    // Where there is a definition it says more: the journal may have been lost.
    const { definition } = vm;
    return (
      definition !== undefined && !ownership.isStale(definition) && !ownership.isStray(definition)
    );
  }

  #assertOwned(vmUid: string, ownershipEpoch: number, vm: HypervisorVm | undefined): void {
    const { ownership } = this.#options;
    const known = ownership.find(vmUid);
    const owner = known?.left?.toNode;
    if (!this.#owns(vmUid, vm)) {
      throw notOwned(
        vmUid,
        owner === undefined ? 'it has no such VM' : `node ${owner} owns it`,
        owner,
      );
    }
    const epoch = Math.max(vm?.definition?.ownershipEpoch ?? 0, known?.ownershipEpoch ?? 0);
    if (epoch !== ownershipEpoch) {
      throw notOwned(vmUid, `it has ownership epoch ${epoch}, not ${ownershipEpoch}`, owner);
    }
  }
}

/** Whether its run is here, though it may stand still, and is not just leaving or about to begin. */
function hasRunHere({ state, stateReason }: HypervisorVm): boolean {
  if (state === 'running') return stateReason !== 'postcopy';
  return state === 'paused' && !ON_THE_MOVE.includes(stateReason);
}

/** The word of libvirt, which forgets it when it restarts. One that was migrated and undefined at once leaves nothing. */
function assertMovedAway(vmUid: string, vm: HypervisorVm | undefined): void {
  if (vm === undefined || (vm.state === 'stopped' && vm.stateReason === 'migrated')) return;
  throw new AgentError(
    vm.state === 'stopped' ? 'MIGRATION_BLOCKED' : 'VM_RUNNING',
    `Cannot hand over VM ${vm.definition?.name ?? vm.hypervisorName}: it is ${vm.state} (${vm.stateReason}), and was not migrated away; make sure which copy is the VM, and remove the other`,
    { metadata: { vmId: vmUid } },
  );
}

/** A node that was told to take it back counts on nobody else having a higher epoch. */
function notYetOurs(vmUid: string, why: string): AgentError {
  return new AgentError('VM_BUSY', `Cannot hand the VM over: ${why}`, {
    metadata: { vmId: vmUid },
    retryAfterMs: RETRY_AFTER_MS,
  });
}

function notOwned(vmUid: string, why: string, owner: string | undefined): AgentError {
  return new AgentError('VM_NOT_OWNED', `Cannot hand the VM over: ${why}`, {
    metadata: { vmId: vmUid, ...(owner === undefined ? {} : { owner }) },
  });
}
