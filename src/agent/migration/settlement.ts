import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import { auditLog } from '../../core/logger.ts';
import { findBeyond, silentOf, whyNotOurs } from '../vms/moved-on.ts';
import { causeOf } from './early-end.ts';
import type { Ending } from './endings.ts';
import { notWaiting, settleCommand } from './off-word.ts';
import { judge, type LocalView, localView, type PeerView, type Verdict } from './outcome.ts';
import type { OutgoingContext } from './outgoing-context.ts';
import type { Peer } from './peers.ts';
import { TakingBack } from './taking-back.ts';

/** Letting go takes the destination a while: its libvirt has to drop the VM first. */
const ABORT_TIMEOUT_MS = 30_000;
/** How often in a row a VM must be on neither node before that is believed. */
const LOST_LOOKS = 8;
/** How long all other nodes may take to say whether the VM has got to one of them: longer than where less depends on it. */
const ASK_OTHERS_MS = 5_000;

/**
 * Finds out where the VM of a migration is whose job has ended, or whose end was not seen, and sees to it that it is
 * there only. See outcome.ts for the rules.
 */
export async function settle(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<Ending> {
  const { lookMs, lookMaxMs } = context.pace;
  context.isSettling = true;
  const takingBack = new TakingBack(context);
  let looksLost = 0;
  for (let pause = lookMs; ; pause = Math.min(pause * 1.2, lookMaxMs)) {
    // Only told from here, so that no look is older than the word.
    const isOtherOff = context.otherNodeOff !== undefined && context.givenUpTo === undefined;
    const local = await viewLocal(context, signal);
    if (local !== 'migrating' && local !== 'unreachable') await context.endTurn();
    if (isOtherOff) {
      const ending = await takingBack.step(local, signal);
      if (ending !== undefined) return ending;
      await delay(pause, signal);
      continue;
    }
    if (local === 'migrating') {
      pause = lookMs;
      await context.look(signal).catch(() => signal.throwIfAborted());
    }
    const there =
      local === 'migrating' || local === 'unreachable'
        ? 'unknown'
        : await viewPeer(context, peer, local, signal);
    const verdict = judge(local, there, context.mayHaveSwitchedOver);
    if (await weighWord(context, verdict, there, signal)) continue;
    looksLost = verdict === 'lost' ? looksLost + 1 : 0;
    if (verdict === 'moved' || verdict === 'stayed') return verdict;
    if (verdict === 'remove-local') await removeLocal(context, signal);
    if (verdict === 'call-off') {
      if (await callOff(context, peer, signal)) {
        if (local === 'held') await letGoOn(context, signal);
        return 'stayed';
      }
      noteWaiting(context, local, there);
    }
    if (looksLost >= LOST_LOOKS && (await callOff(context, peer, signal))) return 'lost';
    if (verdict === 'wait' && local !== 'migrating') noteWaiting(context, local, there);
    await delay(pause, signal);
  }
}

/**
 * Takes somebody's word that the destination is off for good: it counts only where nothing else is known. True if there is
 * more to be known then.
 */
async function weighWord(
  context: OutgoingContext,
  verdict: Verdict,
  there: PeerView,
  signal: AbortSignal,
): Promise<boolean> {
  const { id, offWord: word, options, record, givenUpTo } = context;
  if (word === undefined) return false;
  context.offWord = undefined;
  if (givenUpTo !== undefined) {
    const why = `the VM was given up to node ${givenUpTo}, and what is left of it here is removed as soon as the hypervisor does it`;
    word.refuse(notWaiting(id, why));
    return false;
  }
  if (verdict !== 'wait' || there !== 'unreachable') {
    const why =
      there === 'unreachable' || verdict !== 'wait'
        ? 'it is about to end by itself'
        : `what it waits for is another thing: ${options.book.get(id).message}`;
    word.refuse(notWaiting(id, why));
    return false;
  }
  const { saidBy } = word;
  let unasked: readonly string[];
  try {
    unasked = await askOthers(context, signal);
  } catch (error) {
    word.refuse(error instanceof AgentError ? error : notWaiting(id, 'the agent stops'));
    if (error instanceof AgentError) return context.givenUpTo !== undefined;
    throw error;
  }
  try {
    await options.book.noteOtherNodeOff(id, { saidBy, atMs: Date.now(), memoryLost: false });
  } catch (error) {
    word.refuse(
      error instanceof AgentError ? error : notWaiting(id, 'the word could not be recorded'),
    );
    throw error;
  }
  const { vmUid: vmId, peerNode } = record;
  const about = { migrationId: id, vmId, peer: peerNode, requestedBy: saidBy, unasked };
  auditLog(options.log).warn(about, 'A node is off for good by the word of the caller');
  word.accept();
  return true;
}

/**
 * Nobody has the VM but the two nodes, as far as can be heard: the destination may have moved it on before it was lost. Returns
 * who does not answer; fails with MIGRATION_NOT_WAITING if another node has it, to which it is then given up.
 */
async function askOthers(
  { id, options, record, log }: OutgoingContext,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { locator, ownership, onChange } = options;
  const { vmUid: uid, vmNamespace: namespace, vmName: name, peerNode } = record;
  const answers = (await locator.ask(uid, signal, ASK_OTHERS_MS)).filter(
    ({ peer }) => peer.nodeName !== peerNode,
  );
  // What the VM had here. The destination has one more, and whoever has it from there at least two.
  const ownEpoch = record.ownershipEpoch - 1;
  const beyond = findBeyond(answers, ownEpoch);
  if (beyond !== undefined) {
    const { nodeName, ownershipEpoch } = beyond;
    log.warn({ peer: nodeName }, 'A VM has moved on from its destination; it is given up here');
    await ownership.release({ uid, namespace, name }, ownershipEpoch, nodeName);
    onChange();
    throw notWaiting(
      id,
      `node ${nodeName} has the VM since epoch ${ownershipEpoch}; what is left of it here is removed`,
    );
  }
  const why = whyNotOurs(answers, ownEpoch);
  if (why !== undefined) throw notWaiting(id, why);
  return silentOf(answers);
}

async function viewLocal(context: OutgoingContext, signal: AbortSignal): Promise<LocalView> {
  const { hypervisor } = context.options;
  const uid = context.record.vmUid;
  try {
    // The job first: a VM that was looked at before its job ended may have been stopped by it since.
    const job = await hypervisor.jobs.getJob(uid, context.brief(signal)).catch(undefinedIfGone);
    const vm = await hypervisor.domains.find(uid, context.brief(signal));
    // libvirt says so of a guest that it had stopped for the switchover; the event of it may have been lost.
    if (vm?.stateReason === 'migration-cancelled') context.mayHaveSwitchedOver = true;
    const view = localView(vm, job);
    // What is off does not say whether it was held when it went off, as when its host lost power.
    if (view === 'stopped' && context.wasUnwatched) context.mayHaveSwitchedOver = true;
    context.offReason = view === 'stopped' ? vm?.stateReason : undefined;
    return view;
  } catch (error) {
    signal.throwIfAborted();
    context.log.debug({ err: error }, 'Cannot look at the VM here');
    return 'unreachable';
  }
}

function undefinedIfGone(error: unknown): undefined {
  if (!hasReason(error, 'VM_NOT_FOUND')) throw error;
}

async function viewPeer(
  context: OutgoingContext,
  peer: Peer,
  local: LocalView,
  signal: AbortSignal,
): Promise<PeerView> {
  // It was asked before, and its answer is recorded: whatever it says now, the VM is not this node's.
  if (context.givenUpTo !== undefined) return 'arrived';
  try {
    const report = await peer.get(context.id, context.record.vmUid, context.brief(signal));
    const { state, ownershipEpoch, holdsSource } = report;
    context.noteFigures(report.figures);
    if (holdsSource) return 'holds-source';
    // It was there, so long ago that this migration is forgotten.
    const hasLeft = state === 'absent' && ownershipEpoch >= context.record.ownershipEpoch;
    // It was there and is gone again. That is no ground to cut the power of what runs here.
    const isGone = hasLeft || (state === 'arrived' && ownershipEpoch === 0);
    if (isGone && local === 'running') return 'unknown';
    if (hasLeft) return 'arrived';
    // A copy that is older than this migration is not what it has brought there, and no ground to remove ours.
    const isOlder = ownershipEpoch > 0 && ownershipEpoch < context.record.ownershipEpoch;
    return state === 'arrived' && isOlder ? 'unknown' : state;
  } catch (error) {
    signal.throwIfAborted();
    context.log.debug({ err: error }, 'Cannot ask the destination');
    return 'unreachable';
  }
}

/** True once the destination has promised never to run the VM; one that is not told gives up when nothing comes. */
export async function callOff(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<boolean> {
  const patient = AbortSignal.any([signal, AbortSignal.timeout(ABORT_TIMEOUT_MS)]);
  const { reason, message } = causeOf(context);
  const end = { outcome: 'abort', reason, message } as const;
  try {
    await peer.release(context.id, context.record.vmUid, end, patient);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    context.log.debug({ err: error }, 'The destination has not let go');
    return false;
  }
}

async function letGoOn(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  context.log.warn('A VM was held by a switchover that did not happen; it runs on here');
  await context.options.hypervisor.domains.resume(context.record.vmUid, context.brief(signal));
}

async function removeLocal(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  const { hypervisor } = context.options;
  context.log.warn('A VM has arrived at its destination; its copy here is removed');
  await context.recordRelease();
  try {
    await hypervisor.domains.destroy(context.record.vmUid, context.brief(signal));
    await hypervisor.domains.undefine(context.record.vmUid, context.brief(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.error(
      { err: error },
      'Could not remove a copy that another node owns; trying again',
    );
    const { peerNode } = context.record;
    const why = error instanceof AgentError ? error.message : 'the log of the agent has why';
    context.noteWaiting(
      `It is on node ${context.givenUpTo ?? peerNode}, and its copy here is not removed by the hypervisor of this node (${why}); that is tried again and again`,
    );
  }
}

function noteWaiting(context: OutgoingContext, local: LocalView, there: PeerView): void {
  const { peerNode } = context.record;
  const settling = settleCommand(context.id, peerNode);
  let message = `Waiting for the hypervisor of node ${peerNode}, which its agent cannot ask; look at libvirt there`;
  if (local === 'unreachable') message = 'Waiting for the hypervisor of this node to answer';
  else if (local === 'holds-pages' || there === 'holds-source') {
    message = `Waiting for the rest of its memory to reach node ${peerNode}, where it runs; mend the link between the nodes, and stop neither copy`;
    if (there === 'unreachable') {
      message += `; if that node is off for good, the run of the VM is lost, and its disks are not: ${settling}`;
    }
  } else if (there === 'unreachable') {
    message = `Waiting for node ${peerNode} to say whether the VM runs there; if that node is off for good: ${settling}`;
  }
  context.noteWaiting(message);
}
