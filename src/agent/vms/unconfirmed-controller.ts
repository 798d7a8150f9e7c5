import type { Logger } from '../../core/logger.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Ownership } from './ownership.ts';
import type { VmPeers, VmSighting } from './vm-peers.ts';

export interface UnconfirmedControllerOptions {
  readonly ownership: Ownership;
  readonly peers: VmPeers;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  /** Before a node is asked again. */
  readonly askAgainMs: number;
  readonly log: Logger;
}

const CALL_TIMEOUT_MS = 10_000;

/**
 * Asks the nodes that VMs have come from whether they have given them up, where that was not heard: somebody may have said
 * there that this node is off for good, and then the VM is theirs again, and what is here must not run.
 */
export class UnconfirmedController implements Controller {
  readonly name = 'unconfirmed-arrivals';
  readonly inputs: readonly Input[] = ['ownership'];
  readonly outputs: readonly Output[] = ['confirmed-arrivals'];
  readonly #options: UnconfirmedControllerOptions;

  constructor(options: UnconfirmedControllerOptions) {
    this.#options = options;
  }

  concern({ uid }: SeenVm): string | undefined {
    return this.#options.ownership.unconfirmed(uid) && 'unconfirmed';
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { ownership, peers, askAgainMs: afterMs, onChange, log } = this.#options;
    const fromNode = ownership.unconfirmed(vmUid)?.fromNode;
    if (fromNode === undefined) return undefined;
    const peer = peers.list().find(({ nodeName }) => nodeName === fromNode);
    // Where it cannot be asked it may still say so by itself.
    if (peer === undefined) return { afterMs };
    let sighting: VmSighting;
    try {
      const brief = AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
      sighting = await peer.locate(vmUid, brief);
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ vmId: vmUid, peer: fromNode, err: error }, 'A node cannot be asked');
      return { afterMs };
    }
    const owned = ownership.findOwned(vmUid);
    if (owned?.unconfirmed === undefined) return undefined;
    switch (wordOfOrigin(sighting, owned.ownershipEpoch)) {
      case 'gave-up':
        await ownership.confirm(vmUid);
        return undefined;
      case 'took-back':
        log.error(
          { vmId: vmUid, peer: fromNode },
          'The node that a VM came from was told that this one is off for good; the copy here is not the VM any more',
        );
        await ownership.release(owned, sighting.ownershipEpoch, fromNode);
        onChange();
        return undefined;
      default:
        return { afterMs };
    }
  }
}

/** What the node that a VM came from makes of it, where the copy here has an epoch. */
export function wordOfOrigin(
  { ownershipEpoch, isOwner, presence }: VmSighting,
  ownEpoch: number,
): 'gave-up' | 'took-back' | 'undecided' {
  if (ownershipEpoch > ownEpoch) return 'took-back';
  if (ownershipEpoch === ownEpoch) return 'gave-up';
  // An agent that does not tell its epoch takes nothing back.
  return ownershipEpoch === 0 && !isOwner && presence === 'absent' ? 'gave-up' : 'undecided';
}
