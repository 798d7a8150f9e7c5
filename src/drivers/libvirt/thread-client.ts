import type { CallThread } from './call-threads.ts';
import { Connection, type KeepAlive } from './connection.ts';
import type { CallOutcome, CallRequest } from './driver-protocol.ts';
import { describeFailure } from './errors.ts';
import type { LibvirtLibrary } from './native.ts';
import { OPERATIONS } from './operations.ts';

/** Shorter than a call's usual deadline, so that a hung libvirtd shows as what it is. */
const KEEP_ALIVE: KeepAlive = { intervalS: 2, count: 3 };
/** A long call lost for a passing stall of libvirtd would leave its caller without the result. */
const KEEP_ALIVE_LONG: KeepAlive = { intervalS: 5, count: 6 };

export interface ThreadClientOptions {
  readonly library: LibvirtLibrary;
  readonly thread: CallThread;
  readonly uri: string;
  readonly lane: CallRequest['lane'];
}

/**
 * Performs one call after the other in a thread, on a connection of its own: keepalive frees only one of the calls that hang on
 * a connection.
 */
export class ThreadClient {
  readonly #options: ThreadClientOptions;
  #connection: Connection | undefined;

  constructor(options: ThreadClientOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    return this.#connection === undefined ? 0 : 1;
  }

  get openDomains(): number {
    return this.#connection?.openDomains ?? 0;
  }

  async perform({ id, operation, values }: CallRequest): Promise<CallOutcome> {
    try {
      const open = await this.#openConnection();
      const perform = OPERATIONS[operation] as (
        connection: Connection,
        ...values: readonly unknown[]
      ) => Promise<unknown>;
      return { kind: 'result', id, value: await perform(open, ...values) };
    } catch (error) {
      const alive = this.#connection?.isAlive ?? false;
      return { kind: 'failure', id, failure: describeFailure(error, alive) };
    }
  }

  /** Only between two calls. */
  async close(): Promise<void> {
    await this.#connection?.close();
    this.#connection = undefined;
    this.#options.thread.end();
  }

  /** The connection, opened anew if it has been lost. */
  async #openConnection(): Promise<Connection> {
    const { library, thread, uri, lane } = this.#options;
    if (this.#connection !== undefined && !this.#connection.isAlive) {
      await this.#connection.close();
      this.#connection = undefined;
    }
    const keepAlive = lane === 'long' ? KEEP_ALIVE_LONG : KEEP_ALIVE;
    this.#connection ??= await Connection.open(library.on(thread), uri, keepAlive);
    return this.#connection;
  }
}
