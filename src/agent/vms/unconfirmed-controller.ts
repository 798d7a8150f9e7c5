import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import { GrowingDelays } from '../reconcile/growing-delays.ts';
import { doubtedBy, findBeyond, findTaker, type Holder, wordOfOrigin } from './moved-on.ts';
import type { Ownership } from './ownership.ts';
import type { OwnershipRecord } from './ownership-store.ts';
import type { Answer, VmLocator } from './vm-locator.ts';

export interface UnconfirmedControllerOptions {
  readonly ownership: Ownership;
  readonly locator: Pick<VmLocator, 'ask'>;
  readonly locks: KeyLocks;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  /** Before a node is asked again. */
  readonly askAgainMs: number;
  readonly log: Logger;
}

/** How much rarer nodes are asked in the end that do not settle it, and one of which somebody has said that it is off for good. */
const MAX_FACTOR = 30;
const MAX_SETTLED_FACTOR = 150;

/**
 * Asks the nodes that VMs have come from whether they have given them up, where that was not heard: somebody may have said
 * there that this node is off for good, and then the VM is theirs again, or whose they have made it since, and what is here
 * must not run. All other nodes are asked too, as the one that it came from may be gone by now.
 */
export class UnconfirmedController implements Controller {
  readonly name = 'unconfirmed-arrivals';
  readonly inputs: readonly Input[] = ['ownership'];
  readonly outputs: readonly Output[] = ['confirmed-arrivals'];
  readonly #options: UnconfirmedControllerOptions;
  readonly #delays = new GrowingDelays();

  constructor(options: UnconfirmedControllerOptions) {
    this.#options = options;
  }

  concern({ uid }: SeenVm): string | undefined {
    const unheard = this.#options.ownership.unheardOf(uid);
    if (unheard === undefined) this.#delays.forget(uid);
    return unheard && (unheard.isSettled === true ? 'settled' : 'unconfirmed');
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    if ((await this.#ask(vmUid, signal)) === 'done') return undefined;
    const { ownership, askAgainMs } = this.#options;
    const factor = ownership.isSettled(vmUid) ? MAX_SETTLED_FACTOR : MAX_FACTOR;
    return { afterMs: this.#delays.next(vmUid, askAgainMs, factor * askAgainMs) };
  }

  async #ask(vmUid: string, signal: AbortSignal): Promise<'done' | 'again'> {
    const { ownership, locator } = this.#options;
    if (ownership.unheardOf(vmUid) === undefined) return 'done';
    const answers = await locator.ask(vmUid, signal);
    const owned = ownership.findOwned(vmUid);
    if (owned?.unconfirmed === undefined) return 'done';
    const { fromNode, migrationId } = owned.unconfirmed;
    const isLost = migrationId === '';
    const taker = isLost
      ? findBeyond(answers, owned.ownershipEpoch)
      : findTaker(answers, fromNode, owned.ownershipEpoch);
    if (taker !== undefined) return (await this.#giveUp(owned, taker)) ? 'done' : 'again';
    if (isLost) return await this.#review(owned, answers);
    // Where it cannot be asked it may still say so by itself.
    const origin = answers.find(({ peer }) => peer.nodeName === fromNode);
    if (origin === undefined || origin.presence === 'unknown') return 'again';
    switch (wordOfOrigin(origin, owned.ownershipEpoch)) {
      case 'gave-up':
        await ownership.confirm(vmUid);
        return 'done';
      case 'forgotten':
        ownership.noteForgotten(vmUid);
        return 'again';
      default:
        return 'again';
    }
  }

  /** Of one whose record was lost every node may have it. */
  async #review(owned: OwnershipRecord, answers: readonly Answer[]): Promise<'done' | 'again'> {
    const { ownership } = this.#options;
    const doubted = doubtedBy(answers, owned.ownershipEpoch);
    if (doubted.length === 0) {
      await ownership.confirm(owned.uid);
      return 'done';
    }
    const fromNode = doubted.join(', ');
    if (fromNode !== owned.unconfirmed?.fromNode) {
      await ownership.own(owned, { fromNode, migrationId: '' });
    }
    return 'again';
  }

  /** False while something else is done with the VM: what moves it on raises its epoch too. */
  async #giveUp(owned: OwnershipRecord, { nodeName, ownershipEpoch }: Holder): Promise<boolean> {
    const { ownership, locks, onChange, log } = this.#options;
    const purpose = 'giving up what another node has';
    using lock = locks.tryAcquire(owned.uid, purpose, { isByItself: true });
    if (lock === undefined) return false;
    log.error(
      { vmId: owned.uid, peer: nodeName },
      'Another node has a VM since, having been told that this one is off for good; the copy here is not the VM any more',
    );
    await ownership.release(owned, ownershipEpoch, nodeName);
    onChange();
    return true;
  }
}
