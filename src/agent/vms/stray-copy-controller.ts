import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import { GrowingDelays } from '../reconcile/growing-delays.ts';
import { doubtedBy, findBeyond } from './moved-on.ts';
import { hasMoved, type Ownership } from './ownership.ts';
import type { Remains } from './remains.ts';
import type { VmLocator } from './vm-locator.ts';

export interface StrayCopyControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'setFacts'>;
  readonly ownership: Ownership;
  readonly remains: Pick<Remains, 'is'>;
  readonly locator: Pick<VmLocator, 'ask'>;
  readonly locks: KeyLocks;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  /** Before an owner is asked again; each later time it is twice as long. Default 5 s. */
  readonly firstDelayMs?: number | undefined;
  readonly log: Logger;
}

const FIRST_DELAY_MS = 5_000;
const MAX_DELAY_MS = 300_000;
const CALL_TIMEOUT_MS = 10_000;

/**
 * Makes VMs ours that somebody has brought here with virsh migrate: the definition that came along names the host that they
 * come from, whose agent is asked to hand them over. Killed at any step it does the same again, and the owner gives the
 * same answer.
 */
export class StrayCopyController implements Controller {
  readonly name = 'stray-copies';
  readonly inputs: readonly Input[] = ['domains', 'ownership'];
  readonly outputs: readonly Output[] = ['ownership'];
  readonly #options: StrayCopyControllerOptions;
  /** How long each VM's owner is left alone after it was last asked. */
  readonly #delays = new GrowingDelays();

  constructor(options: StrayCopyControllerOptions) {
    this.#options = options;
  }

  concern({ uid, domain }: SeenVm): string | undefined {
    if (domain !== undefined && this.#isClaimable(domain)) return 'stray';
    this.#delays.forget(uid);
    return domain !== undefined && this.#isUnrecorded(domain) ? 'unrecorded' : undefined;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, locks } = this.#options;
    // Whoever is at it, such as a migration that brings it, sees to it.
    using lock = locks.tryAcquire(vmUid, 'the search for its owner', { isByItself: true });
    if (lock === undefined) return undefined;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
    // What was seen may be older than whatever has become of it.
    const now = await domains.find(vmUid, bounded);
    if (now?.definition === undefined) return undefined;
    if (!this.#isClaimable(now)) {
      if (this.#isUnrecorded(now)) await this.#record(now.definition, bounded);
      return undefined;
    }
    try {
      if (await this.#takeOver(now.definition, bounded)) return undefined;
    } catch (failure) {
      signal.throwIfAborted();
      return { afterMs: this.#nextDelayMs(vmUid), failure };
    }
    return { afterMs: this.#nextDelayMs(vmUid) };
  }

  /**
   * Made or taken over by an agent that was killed before it could record it, or the record was lost: then the VM may have moved
   * on, or have been taken back, since. One that has never moved is waited with for nobody.
   */
  async #record(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { ownership, locator, onChange, log } = this.#options;
    const { uid: vmId, ownershipEpoch } = definition;
    const answers = await locator.ask(vmId, signal);
    const beyond = findBeyond(answers, ownershipEpoch);
    if (beyond !== undefined) {
      const about = { vmId, peer: beyond.nodeName };
      log.error(
        about,
        'A copy without a record is not the VM any more: another node owns it since',
      );
      await ownership.release(definition, beyond.ownershipEpoch, beyond.nodeName);
      onChange();
      return;
    }
    const doubted = hasMoved(definition) ? doubtedBy(answers, ownershipEpoch) : [];
    if (doubted.length === 0) {
      await ownership.own(definition);
      return;
    }
    const fromNode = doubted.join(', ');
    log.warn({ vmId, peer: fromNode }, 'A VM without a record may be on another node by now');
    // Recorded, so that it is known to be this node's as far as that can be known.
    await ownership.own(definition, { fromNode, migrationId: '' });
    onChange();
  }

  /** False if nobody who can be reached owns it; it stays what it is. */
  async #takeOver(definition: VmDefinition, signal: AbortSignal): Promise<boolean> {
    const { domains, ownership, locator, onChange, log } = this.#options;
    const { uid, ownershipEpoch } = definition;
    const owner = (await locator.ask(uid, signal)).find(({ isOwner }) => isOwner)?.peer;
    if (owner === undefined) return false;
    const peer = owner.nodeName;
    const given = await owner.handOver(uid, ownershipEpoch, signal);
    if (given !== ownershipEpoch + 1) {
      log.warn({ vmId: uid, peer }, 'A VM was handed over with an epoch that makes no sense');
      return false;
    }
    // From here on no other node may run it, so there is no way but on.
    await domains.setFacts(
      uid,
      { ownershipEpoch: given, owner: ownership.hostUuid },
      AbortSignal.timeout(CALL_TIMEOUT_MS),
    );
    await ownership.own({ ...definition, ownershipEpoch: given });
    log.info({ vmId: uid, peer }, 'A VM that was migrated here by hand is ours now');
    onChange();
    return true;
  }

  #isClaimable(vm: HypervisorVm): boolean {
    const isStray = vm.definition !== undefined && this.#options.ownership.isStray(vm.definition);
    return isStray && isBroughtByMigration(vm);
  }

  #isUnrecorded(vm: HypervisorVm): boolean {
    const { ownership, remains } = this.#options;
    return vm.definition !== undefined && ownership.isUnrecorded(vm.definition) && !remains.is(vm);
  }

  #nextDelayMs(vmUid: string): number {
    const firstMs = this.#options.firstDelayMs ?? FIRST_DELAY_MS;
    return this.#delays.next(vmUid, firstMs, MAX_DELAY_MS);
  }
}

/**
 * libvirt's word that it runs because it was migrated here, for good: a copied definition is started, and one that would
 * vanish with its run must not cost its owner the copy that stays.
 */
function isBroughtByMigration({ state, stateReason, persistent }: HypervisorVm): boolean {
  return state === 'running' && stateReason === 'migrated' && persistent;
}
