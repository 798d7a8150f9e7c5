import { delay } from '../../core/delay.ts';
import { hasReason } from '../../core/errors.ts';
import type { MigrationProgress } from './migration.ts';
import type { OutgoingContext } from './outgoing-context.ts';
import type { Peer } from './peers.ts';

/** Tells the destination how far a migration is, for those who look at it there, until disposed of. Nothing waits for it. */
export class ProgressTeller implements AsyncDisposable {
  readonly #done = new AbortController();
  readonly #telling: Promise<void>;

  constructor(context: OutgoingContext, peer: Peer, signal: AbortSignal) {
    this.#telling = tell(context, peer, AbortSignal.any([signal, this.#done.signal]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#done.abort();
    await this.#telling;
  }
}

async function tell(context: OutgoingContext, peer: Peer, signal: AbortSignal): Promise<void> {
  let told: MigrationProgress | undefined;
  while (!signal.aborted) {
    const progress = context.options.book.progressOf(context.id);
    try {
      if (progress !== told) {
        await peer.reportProgress(context.id, progress, context.brief(signal));
      }
      told = progress;
    } catch (error) {
      // A peer of version 1 has no such call.
      if (hasReason(error, 'PEER_INCOMPATIBLE')) return;
      if (!signal.aborted) context.log.debug({ err: error }, 'Cannot tell the destination');
    }
    await delay(context.pace.tellMs, signal).catch(() => undefined);
  }
}
