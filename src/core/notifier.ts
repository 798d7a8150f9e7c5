/** Wakes those who wait for a change. A change between looking and waiting is not missed: waiters name the version they saw. */
export class Notifier {
  #version = 0;
  readonly #waiting = new Set<() => void>();

  get version(): number {
    return this.#version;
  }

  notify(): void {
    this.#version += 1;
    for (const wake of this.#waiting) wake();
  }

  /** Returns once the version differs from the one seen; throws the signal's reason when aborted. */
  async changed(seenVersion: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#version !== seenVersion) return;
    // One promise for each who waits: whoever gives up on a shared one stays with it until there is a change.
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    this.#waiting.add(resolve);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
