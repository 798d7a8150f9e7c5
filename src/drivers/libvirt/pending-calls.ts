import type { OperationFailure } from './errors.ts';

export interface PendingCall {
  /** Undefined waits for ever. */
  readonly timeoutMs: number | undefined;
  readonly toError: (failure: OperationFailure) => Error;
  readonly onTimeout: (id: number) => Error;
  /** The process that was to answer is gone. */
  readonly onLost: (cause: Error) => Error;
}

interface Entry {
  readonly call: PendingCall;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly timer: NodeJS.Timeout | undefined;
  readonly signal: AbortSignal;
}

/** Calls that wait for an answer, each until its own deadline. */
export class PendingCalls {
  readonly #entries = new Map<number, Entry>();
  #lastId = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** Aborting the signal ends the waiting, not the call. */
  async add(call: PendingCall, send: (id: number) => void, signal: AbortSignal): Promise<unknown> {
    signal.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    let onAbort: (() => void) | undefined;
    try {
      return await new Promise((resolve, reject) => {
        const timer =
          call.timeoutMs === undefined
            ? undefined
            : setTimeout(() => {
                if (this.#take(id)) reject(call.onTimeout(id));
              }, call.timeoutMs);
        this.#entries.set(id, { call, resolve, reject, timer, signal });
        // The entry stays: its deadline still finds out whether the call hangs.
        onAbort = () => reject(signal.reason);
        signal.addEventListener('abort', onAbort);
        send(id);
      });
    } finally {
      if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    }
  }

  /** Whether anybody waits for it. */
  resolve(id: number, value: unknown): boolean {
    const entry = this.#take(id);
    entry?.resolve(value);
    return entry !== undefined && !entry.signal.aborted;
  }

  fail(id: number, failure: OperationFailure): void {
    const entry = this.#take(id);
    entry?.reject(entry.call.toError(failure));
  }

  loseAll(cause: Error): void {
    for (const id of this.#entries.keys()) {
      const entry = this.#take(id);
      entry?.reject(entry.call.onLost(cause));
    }
  }

  /** A call that was given up on is no longer here, so a late answer finds nothing. */
  #take(id: number): Entry | undefined {
    const entry = this.#entries.get(id);
    clearTimeout(entry?.timer);
    this.#entries.delete(id);
    return entry;
  }
}
