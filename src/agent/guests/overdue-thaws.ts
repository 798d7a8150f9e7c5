import { Notifier } from '../../core/notifier.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { HypervisorEvents, LifecycleEvent } from '../../drivers/hypervisor-events.ts';
import type { FreezeBook } from './freeze-book.ts';
import type { GuestFreezer } from './guest-freezer.ts';

export interface OverdueThawsOptions {
  readonly freezes: FreezeBook;
  readonly events: HypervisorEvents;
  readonly freezer: Pick<GuestFreezer, 'thawOverdue'>;
  readonly tasks: TaskGroup;
  /** Before the second try. Default 1 s. */
  readonly againMs?: number | undefined;
}

const AGAIN_MS = 1_000;
/** Each try that is not answered keeps others from asking their guests for 5 s. */
const MAX_AGAIN_MS = 30_000;
/** What has begun anew is not frozen any more. */
const ENDS: readonly LifecycleEvent[] = ['stopped', 'crashed', 'rebooted'];

/**
 * Sees to it that no guest stays frozen for longer than was asked for, whoever has asked and is gone, an earlier agent as well. Not
 * one of the reconciler's controllers: a guest that does not answer would hold up whatever else is to be done to its VM.
 */
export class OverdueThaws {
  readonly #options: OverdueThawsOptions;
  readonly #thawing = new Set<string>();
  /** Tells that a guest may answer that has not before. */
  readonly #hopes = new Notifier();

  constructor(options: OverdueThawsOptions) {
    this.#options = options;
  }

  /** Until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watchDeadlines(signal), this.#watchGuests(signal)]);
  }

  async #watchGuests(signal: AbortSignal): Promise<void> {
    const { events, freezes } = this.#options;
    for await (const event of events.watch(signal)) {
      if (event.kind === 'lifecycle' && ENDS.includes(event.event)) freezes.expire(event.uid);
      const isResumed = event.kind === 'lifecycle' && event.event === 'resumed';
      if (isResumed || event.kind === 'guest-agent' || event.kind === 'connected') {
        this.#hopes.notify();
      }
    }
  }

  async #watchDeadlines(signal: AbortSignal): Promise<void> {
    const { freezes, tasks } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const seen = freezes.version;
      for (const vmUid of freezes.listOverdue()) {
        if (this.#thawing.has(vmUid)) continue;
        this.#thawing.add(vmUid);
        tasks.run('guest-thaw', (stop) => this.#thaw(vmUid, stop));
      }
      await freezes.untilDue(seen, signal);
    }
  }

  async #thaw(vmUid: string, signal: AbortSignal): Promise<void> {
    const { freezes, freezer, againMs = AGAIN_MS } = this.#options;
    try {
      for (let waitMs = againMs; freezes.listOverdue().includes(vmUid); waitMs *= 2) {
        const seen = this.#hopes.version;
        if (await freezer.thawOverdue(vmUid, signal)) return;
        await this.#untilHope(seen, Math.min(waitMs, MAX_AGAIN_MS), signal);
      }
    } finally {
      this.#thawing.delete(vmUid);
    }
  }

  async #untilHope(seen: number, waitMs: number, signal: AbortSignal): Promise<void> {
    const enough = AbortSignal.timeout(waitMs);
    try {
      await this.#hopes.changed(seen, AbortSignal.any([signal, enough]));
    } catch (error) {
      signal.throwIfAborted();
      if (!enough.aborted) throw error;
    }
  }
}
