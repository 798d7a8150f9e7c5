export type ConnectionState =
  /** No attempt since the process was started has failed yet. */
  | { readonly state: 'starting' }
  | { readonly state: 'connected' }
  | { readonly state: 'unreachable'; readonly error: Error };

/** What is known of the connection to libvirt. Who comes while it is being made may wait for it. */
export class ConnectionGate {
  readonly #waiters = new Set<() => void>();
  #current: ConnectionState = { state: 'starting' };

  get current(): ConnectionState {
    return this.#current;
  }

  set(state: ConnectionState): void {
    this.#current = state;
    for (const wake of this.#waiters) wake();
  }

  /** Returns once the connection is there or has failed, or the time is over. */
  async whileStarting(timeoutMs: number, signal: AbortSignal): Promise<void> {
    if (this.#current.state !== 'starting') return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const wake = (): void => {
      if (this.#current.state !== 'starting') resolve();
    };
    const onAbort = (): void => reject(signal.reason);
    const timer = setTimeout(resolve, timeoutMs);
    this.#waiters.add(wake);
    signal.addEventListener('abort', onAbort);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(wake);
      signal.removeEventListener('abort', onAbort);
    }
  }
}
