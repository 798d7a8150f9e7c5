import { delay } from '../../core/delay.ts';
import { hasReason, type Reason } from '../../core/errors.ts';
import { judge, type LocalView, localView, type PeerView } from './outcome.ts';
import type { OutgoingContext } from './outgoing-context.ts';
import type { Peer } from './peers.ts';
import { advance, complete } from './progress.ts';

/** Letting go takes the destination a while: its libvirt has to drop the VM first. */
const ABORT_TIMEOUT_MS = 30_000;
/** How often in a row a VM must be on neither node before that is believed. */
const LOST_LOOKS = 8;
/** The destination finishes by itself; so often it is asked to do it at once. */
const COMMIT_TRIES = 5;

/**
 * Ends a migration whose job has ended, or whose end was not seen: finds out where the VM is, sees to it that it is
 * there only, and records the outcome. See outcome.ts for the rules.
 */
export async function settle(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  const { lookMs, lookMaxMs } = context.pace;
  let looksLost = 0;
  for (let pause = lookMs; ; pause = Math.min(pause * 1.2, lookMaxMs)) {
    const local = await viewLocal(context, signal);
    if (local === 'migrating') {
      pause = lookMs;
      await context.look(signal).catch(() => signal.throwIfAborted());
    }
    const there =
      local === 'migrating' || local === 'unreachable'
        ? 'unknown'
        : await viewPeer(context, peer, local, signal);
    const verdict = judge(local, there, context.mayHaveSwitchedOver);
    looksLost = verdict === 'lost' ? looksLost + 1 : 0;
    if (verdict === 'finish') return finish(context, peer, signal);
    if (verdict === 'give-up') return end(context, signal);
    if (verdict === 'remove-local') await removeLocal(context, signal);
    if (verdict === 'abort-peer') {
      if (await abortPeer(context, peer, signal)) {
        if (local === 'held') await letGoOn(context, signal);
        return end(context, signal);
      }
      noteWaiting(context, local, there);
    }
    if (looksLost >= LOST_LOOKS && (await abortPeer(context, peer, signal))) {
      return endLost(context, signal);
    }
    if (verdict === 'wait' && local !== 'migrating') noteWaiting(context, local, there);
    await delay(pause, signal);
  }
}

/** Ends a migration that never began to copy. A destination that is not told gives up when nothing comes. */
export async function giveUp(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  await abortPeer(context, peer, signal);
  await end(context, signal);
}

/** The VM runs at the destination: from here on nothing can fail the migration. */
export async function finish(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  const { transfers, book, onChange } = context.options;
  await recordRelease(context);
  await context.move('cleaning-up');
  const arrivedAtMs = context.record.phases.at(-1)?.startedAtMs ?? Date.now();
  const transfer = await transfers.find(context.id, context.brief(signal)).catch(() => undefined);
  context.noteTransfer(transfer);
  book.setProgress(context.id, advance(book.progressOf(context.id), undefined, transfer));
  await commitPeer(context, peer, signal);
  await removeTransfer(context, signal);
  const { figures } = context;
  const progress = complete(book.progressOf(context.id), figures);
  book.setProgress(context.id, progress);
  await context.move('completed', {
    result: {
      totalMs: arrivedAtMs - context.record.startedAtMs,
      downtimeMs: figures?.downtimeMs ?? 0,
      memoryProcessedBytes: progress.memoryProcessedBytes,
      wireBytes: progress.wireBytes,
      iterations: progress.iteration,
      reconnects: context.reconnects,
    },
  });
  onChange();
  context.log.info({ peer: peer.nodeName }, 'Migration completed');
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
    return localView(vm, job);
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
  try {
    const report = await peer.get(context.id, context.record.vmUid, context.brief(signal));
    const { state, ownershipEpoch, holdsSource } = report;
    context.figures = report.figures ?? context.figures;
    if (holdsSource) return 'holds-source';
    // It was there and is gone again. That is no ground to cut the power of what runs here.
    if (state === 'arrived' && ownershipEpoch === 0 && local === 'running') return 'unknown';
    // A copy that is older than this migration is not what it has brought there, and no ground to remove ours.
    const isOlder = ownershipEpoch > 0 && ownershipEpoch < context.record.ownershipEpoch;
    return state === 'arrived' && isOlder ? 'unknown' : state;
  } catch (error) {
    signal.throwIfAborted();
    context.log.debug({ err: error }, 'Cannot ask the destination');
    return 'unreachable';
  }
}

/** True once the destination has promised never to run the VM. */
async function abortPeer(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<boolean> {
  const patient = AbortSignal.any([signal, AbortSignal.timeout(ABORT_TIMEOUT_MS)]);
  try {
    await peer.release(context.id, context.record.vmUid, 'abort', patient);
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
  await recordRelease(context);
  try {
    await hypervisor.domains.destroy(context.record.vmUid, context.brief(signal));
    await hypervisor.domains.undefine(context.record.vmUid, context.brief(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.error(
      { err: error },
      'Could not remove a copy that another node owns; trying again',
    );
  }
}

async function commitPeer(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  const uid = context.record.vmUid;
  for (let tries = 0; tries < COMMIT_TRIES; tries++) {
    try {
      const report = await peer.get(context.id, uid, context.brief(signal));
      context.figures = report.figures ?? context.figures;
      await peer.release(context.id, uid, 'commit', context.brief(signal));
      return;
    } catch (error) {
      signal.throwIfAborted();
      context.log.debug({ err: error }, 'The destination has not confirmed yet');
      await delay(context.pace.lookMaxMs, signal);
    }
  }
}

/** The VM stays here: records why. */
async function end(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  await removeTransfer(context, signal);
  const { phase, reason, message } = endingOf(context);
  await context.move(phase, { reason, message });
  context.options.onChange();
  if (phase === 'failed') {
    context.log.error({ reason, err: context.failure }, 'Migration failed');
  } else {
    context.log.info('Migration cancelled');
  }
}

async function endLost(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  await removeTransfer(context, signal);
  await context.move('failed', {
    reason: 'VM_NOT_FOUND',
    message: `The VM is neither on this node nor on ${context.record.peerNode}: it was stopped or removed while it migrated`,
  });
  context.options.onChange();
  context.log.error('A VM vanished while it migrated');
}

function endingOf(context: OutgoingContext): {
  readonly phase: 'failed' | 'cancelled';
  readonly reason: Reason;
  readonly message: string;
} {
  if (context.cancelRequested) {
    return {
      phase: 'cancelled',
      reason: 'MIGRATION_CANCELLED',
      message: 'Cancelled by a caller; the VM stays on this node',
    };
  }
  if (context.timedOut) {
    return {
      phase: 'failed',
      reason: 'MIGRATION_TIMEOUT',
      message: 'It had not switched over in the time allowed; the VM stays on this node',
    };
  }
  return {
    phase: 'failed',
    reason: context.failure?.reason ?? 'MIGRATION_FAILED',
    message:
      context.failure?.message ??
      'The migration ended while the agent was away; the VM stays on this node',
  };
}

async function removeTransfer(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  try {
    await context.options.transfers.remove(context.id, context.brief(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.warn({ err: error }, 'Could not remove what is left of a transfer');
  }
}

async function recordRelease(context: OutgoingContext): Promise<void> {
  const { vmUid, vmNamespace, vmName, ownershipEpoch, peerNode } = context.record;
  await context.options.ownership.release(
    { uid: vmUid, namespace: vmNamespace, name: vmName },
    ownershipEpoch,
    peerNode,
  );
}

function noteWaiting(context: OutgoingContext, local: LocalView, there: PeerView): void {
  const { peerNode } = context.record;
  let message = `Waiting for the hypervisor of node ${peerNode}`;
  if (local === 'unreachable') message = 'Waiting for the hypervisor of this node to answer';
  else if (there === 'unreachable') {
    message = `Waiting for node ${peerNode} to say whether the VM runs there`;
  }
  context.options.book.note(context.id, message);
}
