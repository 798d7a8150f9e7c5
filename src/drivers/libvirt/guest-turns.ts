import { AgentError } from '../../core/errors.ts';
import { Slots } from '../../core/slots.ts';
import { untilAborted } from '../../core/until-aborted.ts';

/** libvirtd has 20 workers, and each guest that does not answer holds one up. */
const GUESTS_AT_ONCE = 6;
/** More callers wait for nothing good. */
const MOST_WAITING = 16;
const PATIENCE_MS = 30_000;

/** Has guests be asked one question at a time each, and few guests at once. */
export class GuestTurns {
  readonly #lines = new Map<string, Slots>();
  readonly #all = new Slots(GUESTS_AT_ONCE);

  /**
   * Does the work when it is its turn. Whoever gives up leaves the line, or lets the work go on unheard: the next waits for it all
   * the same. Fails with VM_BUSY for a line that is too long, or too slow.
   */
  async take<T>(
    uid: string,
    name: string,
    work: () => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    const line = this.#lines.get(uid) ?? new Slots(1);
    this.#lines.set(uid, line);
    if (line.waiting >= MOST_WAITING) {
      throw busy(uid, `its guest agent has ${line.waiting} questions before it already`, name);
    }
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const waiting = AbortSignal.any([signal, patience]);
    const working = this.#work(line, work, waiting).finally(() => {
      if (line.free === 1 && line.waiting === 0) this.#lines.delete(uid);
    });
    try {
      return await untilAborted(working, signal);
    } catch (error) {
      if (error !== patience.reason) throw error;
      const s = PATIENCE_MS / 1_000;
      throw busy(uid, `it has not been its turn within ${s} s, as guests do not answer`, name);
    }
  }

  async #work<T>(line: Slots, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await using _turn = await line.take(signal);
    await using _slot = await this.#all.take(signal);
    return await work();
  }
}

function busy(uid: string, why: string, name: string): AgentError {
  return new AgentError('VM_BUSY', `Cannot ask the guest of ${name}: ${why}; try again later`, {
    metadata: { vmId: uid },
    retryAfterMs: 5_000,
  });
}
