import { untilAborted } from './until-aborted.ts';

/** Lets so many do something at once; the others wait, in the order in which they came. */
export class Slots {
  readonly count: number;
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.count = count;
    this.#free = count;
  }

  /** How many can begin now without waiting. */
  get free(): number {
    return Math.max(0, this.#free);
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Disposing the answer makes room for the next. */
  async take(signal: AbortSignal): Promise<AsyncDisposableStack> {
    const slot = new AsyncDisposableStack();
    slot.defer(() => this.#give());
    if (this.#free > 0) {
      this.#free -= 1;
      return slot;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    try {
      await untilAborted(promise, signal);
    } catch (error) {
      const at = this.#waiting.indexOf(resolve);
      // Given up in the same turn as it was its turn.
      if (at < 0) this.#give();
      else this.#waiting.splice(at, 1);
      throw error;
    }
    return slot;
  }

  /** For what has begun already: takes one without waiting, though it be one too many. The others wait until it has ended. */
  occupy(): AsyncDisposableStack {
    const slot = new AsyncDisposableStack();
    slot.defer(() => this.#give());
    this.#free -= 1;
    return slot;
  }

  #give(): void {
    this.#free += 1;
    if (this.#free <= 0) return;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#free -= 1;
    next();
  }
}
