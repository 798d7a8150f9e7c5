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
 * Who has the VM, and owns it with an epoch higher than `ownEpoch`: what has that one, or a lower one, is not the VM any more.
 * A VM that is only on its way to a node is not there yet, whatever epoch it will have; and who has given one of its uid away
 * says so for ever.
 */
export function findBeyond(answers: readonly Answer[], ownEpoch: number): Holder | undefined {
  return highest(answers.filter(holds), ownEpoch);
}

function holds({ isOwner, presence }: Answer): boolean {
  return isOwner && presence === 'held';
}

/**
 * Who has known the VM with an epoch higher than `ownEpoch`, and has it no more: it went on from there, or was deleted. That may
 * have been an earlier VM of its uid, so it is a ground for a question only.
 */
function findTrace(answers: readonly Answer[], ownEpoch: number): Holder | undefined {
  return highest(
    answers.filter((answer) => !holds(answer)),
    ownEpoch,
  );
}

function highest(answers: readonly Answer[], ownEpoch: number): Holder | undefined {
  return answers
    .filter(({ presence }) => presence !== 'coming')
    .map(({ peer, ownershipEpoch = 0 }) => ({ nodeName: peer.nodeName, ownershipEpoch }))
    .filter(({ ownershipEpoch }) => ownershipEpoch > ownEpoch)
    .toSorted((left, right) => right.ownershipEpoch - left.ownershipEpoch)[0];
}

/**
 * Why nobody's word counts for the copy here, where others know of the VM; undefined if nothing that they say is against it.
 * What another node owns since is told apart, by `findBeyond`.
 */
export function whyNotOurs(answers: readonly Answer[], ownEpoch: number): string | undefined {
  const rival = answers.find((answer) => holds(answer) && (answer.ownershipEpoch ?? 0) <= ownEpoch)
    ?.peer.nodeName;
  if (rival !== undefined) {
    return `node ${rival} says that it owns the VM too; make sure which copy is the VM, delete the other one, and say it again`;
  }
  const trace = findTrace(answers, ownEpoch);
  if (trace === undefined) return undefined;
  const { nodeName, ownershipEpoch } = trace;
  return `node ${nodeName} has known the VM with epoch ${ownershipEpoch}, and what is here has no higher one than ${ownEpoch}: the VM has moved on from there, or was deleted. Find out where it is; if that was an earlier VM of the same uid, take ${nodeName} out of \`peers\` in the configuration of this node's agent, restart the agent, and say it again`;
}

/** Those that could not be asked. */
export function silentOf(answers: readonly Answer[]): readonly string[] {
  return answers.filter(({ presence }) => presence === 'unknown').map(({ peer }) => peer.nodeName);
}

/** Who may have a VM of which a copy is here with an epoch: who has not said that it does not, and who knows it with no lower one. */
export function doubtedBy(answers: readonly Answer[], ownEpoch: number): readonly string[] {
  return answers
    .filter((answer) => {
      const { presence, ownershipEpoch } = answer;
      // Of one that has it and does not tell its epoch it may be the newer one.
      if (presence === 'held' && ownershipEpoch === undefined) return true;
      if (presence === 'unknown' || presence === 'coming') return true;
      return (ownershipEpoch ?? 0) > ownEpoch || (holds(answer) && ownershipEpoch === ownEpoch);
    })
    .map(({ peer }) => peer.nodeName);
}

/** What the node that a VM came from makes of it, where the copy here has an epoch. */
export function wordOfOrigin(
  { ownershipEpoch, isOwner, presence }: Pick<Answer, 'ownershipEpoch' | 'isOwner' | 'presence'>,
  ownEpoch: number,
): 'gave-up' | 'took-back' | 'forgotten' | 'undecided' {
  // An agent that does not tell its epoch takes nothing back, and says that it owns what it has given to who asks.
  if (ownershipEpoch === undefined) return presence === 'absent' ? 'gave-up' : 'undecided';
  if (ownershipEpoch > ownEpoch) return 'took-back';
  if (ownershipEpoch === ownEpoch) return 'gave-up';
  // Who has given it up remembers that for ever. This one may have taken it back, and deleted it or moved it on since.
  const isNowhere = !isOwner && presence === 'absent';
  return ownershipEpoch === 0 && isNowhere ? 'forgotten' : 'undecided';
}

/** Who has the VM that came from a node, where the copy here has an epoch: that node took it back, or has made it another's since. */
export function findTaker(
  answers: readonly Answer[],
  fromNode: string,
  ownEpoch: number,
): Holder | undefined {
  const beyond = findBeyond(answers, ownEpoch);
  if (beyond !== undefined) return beyond;
  const origin = answers.filter(({ peer }) => peer.nodeName === fromNode);
  return highest(origin, ownEpoch);
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
