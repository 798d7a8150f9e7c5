import { Notifier } from './notifier.ts';

/** How often work that fails is tried again. */
export interface BackOff {
  /** Before the first try after a failure; each later one waits twice as long. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/** Something that is to be done to something. */
export interface Work {
  /** What does it. */
  readonly worker: string;
  /** What it is done to. */
  readonly subject: string;
}

interface Item extends Work {
  /** What is to be done about it, as whoever added it last has put it. */
  purpose: string;
  /** By the clock that nobody sets. */
  dueAtMs: number;
  /** Since when it has been due or waiting. */
  sinceMs: number;
  /** Failures in a row. */
  failures: number;
  isInWork: boolean;
  /** Added again while it was in work. */
  isStale: boolean;
  /** Asked for while it was in work. */
  isWoken: boolean;
}

/** What one worker has in a queue. */
export interface QueueState {
  /** Due, or in work. */
  readonly depth: number;
  /** To be tried or looked at again later. */
  readonly waiting: number;
  /** How long the oldest of those that are due or in work has been so; 0 if there is none. */
  readonly oldestAgeMs: number;
  /** Subjects at which the last try has failed. */
  readonly failing: number;
}

/**
 * What there is to do, each once however often it is added, and never two pieces of work on one subject at a time. Work that
 * fails waits longer and longer; nothing else waits for it. Nothing of it outlives the process: whoever adds looks at what
 * is, and adds again.
 */
export class WorkQueue {
  readonly #items = new Map<string, Item>();
  /** Subjects that are worked on. */
  readonly #taken = new Set<string>();
  readonly #changes = new Notifier();
  readonly #backOff: BackOff;

  constructor(backOff: BackOff) {
    this.#backOff = backOff;
  }

  /** Makes work due, unless it waits already for the same purpose. */
  add(work: Work, purpose: string): void {
    const item = this.#items.get(keyOf(work));
    if (item === undefined || item.purpose !== purpose) this.wake(work, purpose);
    else if (item.isInWork) item.isStale = true;
  }

  /** Makes work due at once: somebody has asked for it, and what failed before does not count. */
  wake(work: Work, purpose: string): void {
    const before = this.#items.get(keyOf(work));
    if (before?.isInWork === true) {
      Object.assign(before, { purpose, isStale: true, isWoken: true, failures: 0 });
      return;
    }
    const nowMs = performance.now();
    const isDue = before !== undefined && before.dueAtMs <= nowMs;
    this.#items.set(keyOf(work), {
      ...work,
      purpose,
      dueAtMs: isDue ? before.dueAtMs : nowMs,
      sinceMs: isDue ? before.sinceMs : nowMs,
      failures: 0,
      isInWork: false,
      isStale: false,
      isWoken: false,
    });
    this.#changes.notify();
  }

  /** Has work that waits tried at once, if there is any: what it has failed for is over. */
  hasten(work: Work): void {
    const item = this.#items.get(keyOf(work));
    if (item === undefined || item.isInWork) return;
    const nowMs = performance.now();
    if (item.dueAtMs > nowMs) Object.assign(item, { dueAtMs: nowMs, sinceMs: nowMs });
    item.failures = 0;
    this.#changes.notify();
  }

  /** Forgets work that is not needed any more. What is being done ends by itself. */
  drop(work: Work): void {
    // Where all is well this is asked for each subject, again and again.
    if (this.#items.size === 0) return;
    const item = this.#items.get(keyOf(work));
    if (item?.isInWork === true) item.isStale = false;
    else this.#items.delete(keyOf(work));
  }

  /** Takes what has been due for longest, once there is something; `done`, `later` or `failed` must follow. */
  async take(signal: AbortSignal): Promise<Work> {
    for (;;) {
      signal.throwIfAborted();
      const seen = this.#changes.version;
      const first = this.#next();
      if (first !== undefined && first.dueAtMs <= performance.now()) {
        first.isInWork = true;
        first.isStale = false;
        first.isWoken = false;
        this.#taken.add(first.subject);
        return { worker: first.worker, subject: first.subject };
      }
      await this.#untilDue(seen, first?.dueAtMs, signal);
    }
  }

  /** It is done, unless it was added again meanwhile. */
  done(work: Work): void {
    this.#end(work, (item) => (item.isStale ? { delayMs: 0, failures: 0 } : undefined));
  }

  /** There is more to do after a while. What has failed before that still counts, until it is done. */
  later(work: Work, delayMs: number): void {
    this.#end(work, ({ failures }) => ({ delayMs, failures }));
  }

  /** It is tried again after a while, which the queue chooses unless it is given; returns how long that is. */
  failed(work: Work, afterMs?: number): number {
    const failures = (this.#items.get(keyOf(work))?.failures ?? 0) + 1;
    const { firstDelayMs, maxDelayMs } = this.#backOff;
    // The exponent is bounded so that the power stays finite.
    const doubledMs = firstDelayMs * 2 ** Math.min(failures - 1, 40);
    const delayMs = afterMs ?? Math.min(doubledMs, maxDelayMs);
    this.#end(work, () => ({ delayMs, failures }));
    return delayMs;
  }

  state(worker: string): QueueState {
    const nowMs = performance.now();
    const items = [...this.#items.values()].filter((item) => item.worker === worker);
    const now = items.filter((item) => item.isInWork || item.dueAtMs <= nowMs);
    return {
      depth: now.length,
      waiting: items.length - now.length,
      oldestAgeMs: Math.max(0, ...now.map(({ sinceMs }) => nowMs - sinceMs)),
      failing: items.filter(({ failures }) => failures > 0).length,
    };
  }

  /** What is due first, or has been for longest, of what nobody works on. */
  #next(): Item | undefined {
    let first: Item | undefined;
    for (const item of this.#items.values()) {
      if (this.#taken.has(item.subject)) continue;
      if (first === undefined || item.dueAtMs < first.dueAtMs) first = item;
    }
    return first;
  }

  #end(
    work: Work,
    then: (item: Item) => { readonly delayMs: number; readonly failures: number } | undefined,
  ): void {
    const item = this.#items.get(keyOf(work));
    if (item === undefined || !item.isInWork) throw new Error(`Nobody has taken ${keyOf(work)}`);
    const next = then(item);
    const nowMs = performance.now();
    this.#taken.delete(item.subject);
    if (next === undefined) this.#items.delete(keyOf(work));
    else {
      const { failures } = next;
      const delayMs = item.isWoken ? 0 : next.delayMs;
      Object.assign(item, { failures, dueAtMs: nowMs + delayMs, sinceMs: nowMs, isInWork: false });
    }
    this.#changes.notify();
  }

  async #untilDue(seen: number, dueAtMs: number | undefined, signal: AbortSignal): Promise<void> {
    if (dueAtMs === undefined) return this.#changes.changed(seen, signal);
    const timeout = AbortSignal.timeout(Math.max(0, Math.ceil(dueAtMs - performance.now())));
    try {
      await this.#changes.changed(seen, AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw error;
    }
  }
}

function keyOf({ worker, subject }: Work): string {
  return `${worker} ${subject}`;
}
