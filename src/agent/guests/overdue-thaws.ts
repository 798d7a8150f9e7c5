import { delay } from '../../core/delay.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { HypervisorEvents, LifecycleEvent } from '../../drivers/hypervisor-events.ts';
import type { FreezeBook } from './freeze-book.ts';
import type { GuestFreezer } from './guest-freezer.ts';

export interface OverdueThawsOptions {
  readonly freezes: FreezeBook;
  readonly events: HypervisorEvents;
  readonly freezer: Pick<GuestFreezer, 'thawOverdue'>;
  readonly tasks: TaskGroup;
  /** Between two tries. Default 2 s. */
  readonly againMs?: number | undefined;
}

const AGAIN_MS = 2_000;
const ENDS: readonly LifecycleEvent[] = ['stopped', 'crashed', 'rebooted'];

/**
 * Sees to it that no guest stays frozen for longer than was asked for, whoever has asked and is gone, an earlier agent as well. Not
 * one of the reconciler's controllers: a guest that does not answer would hold up whatever else is to be done to its VM.
 */
export class OverdueThaws {
  readonly #options: OverdueThawsOptions;
  readonly #thawing = new Set<string>();

  constructor(options: OverdueThawsOptions) {
    this.#options = options;
  }

  /** Until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#watchDeadlines(signal), this.#watchGuests(signal)]);
  }

  /** What has begun anew is not frozen any more. */
  async #watchGuests(signal: AbortSignal): Promise<void> {
    const { events, freezes } = this.#options;
    for await (const event of events.watch(signal)) {
      if (event.kind === 'lifecycle' && ENDS.includes(event.event)) freezes.expire(event.uid);
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
      while (freezes.listOverdue().includes(vmUid)) {
        if (await freezer.thawOverdue(vmUid, signal)) return;
        await delay(againMs, signal);
      }
    } finally {
      this.#thawing.delete(vmUid);
    }
  }
}
