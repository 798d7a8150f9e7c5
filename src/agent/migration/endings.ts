import { delay } from '../../core/delay.ts';
import { causeOf, lossOf } from './early-end.ts';
import type { MigrationResult } from './migration.ts';
import type { OutgoingContext } from './outgoing-context.ts';
import type { Peer } from './peers.ts';
import { complete } from './progress.ts';

/** Where a migration that has come to its end has left the VM: at the destination, here, or on neither node. */
export type Ending = 'moved' | 'stayed' | 'lost';

/** The destination finishes by itself; so often it is asked to do it at once. */
const COMMIT_TRIES = 5;

/** Records how a migration has ended, and clears away what is left of it. Repeating it is fine. */
export async function conclude(
  ending: Ending,
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  if (ending === 'moved') return await concludeMoved(context, peer, signal);
  await removeTransfer(context, signal);
  if (ending === 'lost') await removeFiles(context, signal);
  const { phase, reason, message } = ending === 'lost' ? lossOf(context) : causeOf(context);
  await context.move(phase, { reason, message });
  context.options.onChange();
  if (ending === 'lost') context.log.error('A VM vanished while it migrated');
  else if (phase === 'cancelled') context.log.info('Migration cancelled');
  else context.log.error({ reason, err: context.failure }, 'Migration failed');
}

/** The VM runs at the destination: from here on nothing can fail the migration. */
async function concludeMoved(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<void> {
  const { book, onChange } = context.options;
  await context.recordRelease();
  await context.move('cleaning-up');
  await context.noteLastOfTransfer(signal);
  const result = await commitPeer(context, peer, signal);
  await removeTransfer(context, signal);
  await removeFiles(context, signal);
  const progress = book.progressOf(context.id);
  book.setProgress(context.id, complete(progress, context.figures, context.lastTransfer));
  await context.move('completed', { result });
  onChange();
  context.log.info({ peer: peer.nodeName }, 'Migration completed');
}

/** What it came to, once the destination has told what it knows of that and been told to keep the VM. */
async function commitPeer(
  context: OutgoingContext,
  peer: Peer,
  signal: AbortSignal,
): Promise<MigrationResult> {
  const uid = context.record.vmUid;
  for (let tries = 0; tries < COMMIT_TRIES; tries++) {
    try {
      const report = await peer.get(context.id, uid, context.brief(signal));
      context.noteFigures(report.figures);
      const end = { outcome: 'commit', result: context.result() } as const;
      await peer.release(context.id, uid, end, context.brief(signal));
      break;
    } catch (error) {
      signal.throwIfAborted();
      context.log.debug({ err: error }, 'The destination has not confirmed yet');
      await delay(context.pace.lookMaxMs, signal);
    }
  }
  return context.result();
}

async function removeTransfer(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  try {
    await context.options.transfers.remove(context.id, context.brief(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.warn({ err: error }, 'Could not remove what is left of a transfer');
  }
}

/** Those of a VM that is not here any more. What cannot be removed now is when the next agent starts. */
async function removeFiles(context: OutgoingContext, signal: AbortSignal): Promise<void> {
  try {
    const { privateFiles, hypervisor } = context.options;
    await privateFiles.remove(context.record.vmUid, context.brief(signal));
    await hypervisor.domains.removeFiles(context.record.vmUid, context.brief(signal));
  } catch (error) {
    signal.throwIfAborted();
    context.log.warn({ err: error }, 'Could not remove the files of a VM that has left');
  }
}
