import { AgentError } from '../../core/errors.ts';

// Some 5,000 VMs: more than a node has, so that the first listing always fits.
const MAX_BYTES = 4 * 1024 ** 2;

/** Holds what is to be sent to one watcher. Filling it further than the limit fails with WATCH_EXPIRED. */
export class BoundedQueue implements AsyncIterable<Buffer> {
  readonly signal: AbortSignal;
  readonly #messages: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #changed = Promise.withResolvers<void>();

  /** Iterating ends with the signal's reason when that is aborted. */
  constructor(signal: AbortSignal) {
    this.signal = signal;
    // Both live and die with the call.
    signal.addEventListener('abort', () => this.#changed.resolve(), { once: true });
  }

  push(message: Buffer): void {
    if (this.#bytes + message.length > MAX_BYTES && this.#messages.length > 0) {
      throw new AgentError(
        'WATCH_EXPIRED',
        'The watcher has fallen too far behind: more changes wait for it than the agent keeps',
      );
    }
    this.#messages.push(message);
    this.#bytes += message.length;
    this.#changed.resolve();
  }

  end(): void {
    this.#ended = true;
    this.#changed.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, undefined> {
    while (true) {
      this.signal.throwIfAborted();
      const message = this.#messages.shift();
      if (message !== undefined) {
        this.#bytes -= message.length;
        yield message;
      } else if (this.#ended) {
        return;
      } else {
        this.#changed = Promise.withResolvers<void>();
        await this.#changed.promise;
      }
    }
  }
}
