import { untilAborted } from './until-aborted.ts';

/** What a holder that acts by itself is waited for at most: most only look, but some ask other nodes. */
const PATIENCE_MS = 2_000;

interface Holder {
  readonly purpose: string;
  advice?: string | undefined;
  /** Of one that acts by itself: when it has gone. */
  readonly gone: PromiseWithResolvers<void> | undefined;
}

/** One holder per key. Nobody queues but behind one that acts by itself, and that for two seconds: who comes second is told so. */
export class KeyLocks {
  readonly #holders = new Map<string, Holder>();

  /**
   * Takes the lock for `purpose`; undefined if somebody has it. Disposing twice is fine. `isByItself` is for what nobody has asked
   * for, so that nobody who asks for something is refused for that.
   */
  tryAcquire(
    key: string,
    purpose: string,
    options?: { isByItself: boolean },
  ): Disposable | undefined {
    if (this.#holders.has(key)) return undefined;
    const gone = options?.isByItself === true ? Promise.withResolvers<void>() : undefined;
    this.#holders.set(key, { purpose, gone });
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#holders.delete(key);
        held = false;
        gone?.resolve();
      },
    };
  }

  /** As `tryAcquire`, but waits up to two seconds for holders that act by themselves. */
  async acquire(
    key: string,
    purpose: string,
    signal: AbortSignal,
  ): Promise<Disposable | undefined> {
    await this.untilNotByItself(key, signal);
    return this.tryAcquire(key, purpose);
  }

  /**
   * Waits up to two seconds until nobody who acts by itself has the lock; whoever takes it without a wait after that comes next. True
   * if somebody has had it meanwhile and is gone: what was seen before may be outdated.
   */
  async untilNotByItself(key: string, signal: AbortSignal): Promise<boolean> {
    const gone = () => this.#holders.get(key)?.gone?.promise;
    if (gone() === undefined) return false;
    const enough = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    try {
      for (let next = gone(); next !== undefined; next = gone()) await untilAborted(next, enough);
      return true;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  /** What the holder said it is doing; undefined if nobody holds the lock. */
  purposeOf(key: string): string | undefined {
    return this.#holders.get(key)?.purpose;
  }

  /** For the holder: what whoever comes second is told to do, until the lock is free or it says otherwise. */
  advise(key: string, advice: string | undefined): void {
    const holder = this.#holders.get(key);
    if (holder !== undefined) holder.advice = advice;
  }

  /** What the holder has said that others can do; undefined if nothing. */
  adviceOf(key: string): string | undefined {
    return this.#holders.get(key)?.advice;
  }
}
