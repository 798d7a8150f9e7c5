/** One holder per key. Nobody queues: who comes second is told so. */
export class KeyLocks {
  readonly #holders = new Map<string, { readonly purpose: string; advice?: string | undefined }>();

  /** Takes the lock for `purpose`; undefined if somebody has it. Disposing twice is fine. */
  tryAcquire(key: string, purpose: string): Disposable | undefined {
    if (this.#holders.has(key)) return undefined;
    this.#holders.set(key, { purpose });
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#holders.delete(key);
        held = false;
      },
    };
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
