import { AgentError } from '../../core/errors.ts';
import type { OwnershipRecord } from './ownership-store.ts';
import type { Answer } from './vm-locator.ts';
import type { VmPeer } from './vm-peers.ts';

/** Where a VM has got to without this node, by the word of other nodes. */
export interface Holder {
  readonly nodeName: string;
  readonly ownershipEpoch: number;
}

/**
 * Who knows the VM to have an epoch higher than `ownEpoch`: what has that one, or a lower one, is not the VM any more. Who
 * owns it goes before who only knows. A VM that is only on its way to a node is not there yet, whatever epoch it will have.
 */
export function findBeyond(answers: readonly Answer[], ownEpoch: number): Holder | undefined {
  return answers
    .filter(({ presence }) => presence !== 'coming' && presence !== 'unknown')
    .map(({ peer, isOwner, ownershipEpoch = 0 }) => {
      return { nodeName: peer.nodeName, ownershipEpoch, isOwner };
    })
    .filter(({ ownershipEpoch }) => ownershipEpoch > ownEpoch)
    .sort(
      (left, right) =>
        right.ownershipEpoch - left.ownershipEpoch || Number(right.isOwner) - Number(left.isOwner),
    )[0];
}

/** A node that takes itself for the owner although its epoch is no higher than `ownEpoch`; only people know which copy is the VM. */
export function findRival(answers: readonly Answer[], ownEpoch: number): string | undefined {
  return answers.find(({ isOwner, ownershipEpoch = 0 }) => isOwner && ownershipEpoch <= ownEpoch)
    ?.peer.nodeName;
}

/** Those that could not be asked. */
export function silentOf(answers: readonly Answer[]): readonly string[] {
  return answers.filter(({ presence }) => presence === 'unknown').map(({ peer }) => peer.nodeName);
}

/** What the node that a VM came from makes of it, where the copy here has an epoch. */
export function wordOfOrigin(
  { ownershipEpoch, isOwner, presence }: Pick<Answer, 'ownershipEpoch' | 'isOwner' | 'presence'>,
  ownEpoch: number,
): 'gave-up' | 'took-back' | 'forgotten' | 'undecided' {
  const isNowhere = !isOwner && presence === 'absent';
  // An agent that does not tell its epoch takes nothing back.
  if (ownershipEpoch === undefined) return isNowhere ? 'gave-up' : 'undecided';
  if (ownershipEpoch > ownEpoch) return 'took-back';
  if (ownershipEpoch === ownEpoch) return 'gave-up';
  // Who has given it up remembers that for ever. This one may have taken it back, and deleted it or moved it on since.
  return ownershipEpoch === 0 && isNowhere ? 'forgotten' : 'undecided';
}

/**
 * Whether a node is silent that somebody says is off for good; undefined if it is, or has no memory of the VM, which comes to
 * the same. Else why what was said of it does not count.
 */
export async function whyNotSilent(
  peer: VmPeer,
  { uid, ownershipEpoch }: Pick<OwnershipRecord, 'uid' | 'ownershipEpoch'>,
  signal: AbortSignal,
  brief: AbortSignal,
): Promise<string | undefined> {
  const { nodeName } = peer;
  try {
    const sighting = await peer.locate(uid, brief);
    return wordOfOrigin(sighting, ownershipEpoch) === 'forgotten'
      ? undefined
      : `node ${nodeName} answers, and says by itself what has become of the VM`;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AgentError) || error.reason === 'PEER_UNREACHABLE') return undefined;
    return `node ${nodeName} answers, and does not say what has become of the VM: ${error.message}. Mend that, and it says so by itself; if it cannot be mended, as that node was replaced by another of its name, make sure that the one before is off, take ${nodeName} out of \`peers\` in the configuration of this node's agent, restart the agent, and say it again`;
  }
}
