import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { ConsoleCalls } from '../../client/console-calls.ts';
import type { VmRefInput } from '../../client/vm-calls.ts';
import { AgentError } from '../../core/errors.ts';

export interface VncListenerOptions {
  readonly consoles: Pick<ConsoleCalls, 'openDisplay'>;
  readonly ref: VmRefInput;
  /** Of 127.0.0.1; 0 takes one that is free. */
  readonly port: number;
  readonly signal: AbortSignal;
  /** What becomes of viewers, for people. */
  readonly tell: (text: string) => void;
}

/** A port of 127.0.0.1, each connection to which is one to the VNC server of a VM. */
export class VncListener implements AsyncDisposable {
  readonly #options: VncListenerOptions;
  readonly #server: Server;
  readonly #viewers = new Set<Promise<void>>();
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;

  private constructor(options: VncListenerOptions) {
    this.#options = options;
    this.#signal = AbortSignal.any([options.signal, this.#over.signal]);
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      const serving = this.#serve(socket).finally(() => this.#viewers.delete(serving));
      this.#viewers.add(serving);
    });
  }

  /** Fails as a display that cannot be opened does, and where the port cannot be had. */
  static async start(options: VncListenerOptions): Promise<VncListener> {
    await tryOut(options);
    const listener = new VncListener(options);
    try {
      listener.#server.listen(options.port, '127.0.0.1');
      await once(listener.#server, 'listening', { signal: options.signal });
    } catch (error) {
      options.signal.throwIfAborted();
      const why =
        (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'it is in use' : String(error);
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot listen on port ${options.port} of 127.0.0.1: ${why}; leave --port out for one that is free`,
        { cause: error },
      );
    }
    return listener;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Rejects with the reason of the signal. */
  get ended(): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    const { signal } = this.#options;
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('closed'));
    this.#server.close();
    await Promise.all(this.#viewers);
  }

  async #serve(socket: Socket): Promise<void> {
    const { consoles, ref, tell } = this.#options;
    socket.on('error', () => socket.destroy());
    const gone = new AbortController();
    socket.once('close', () => gone.abort(new Error('The viewer has gone')));
    const signal = AbortSignal.any([this.#signal, gone.signal]);
    try {
      const display = consoles.openDisplay(ref, { signal });
      for await (const { response } of display.responses) {
        if (response?.$case === 'opened') {
          void sendAll(socket, (data) => display.send(data));
          tell('A viewer has connected');
        } else if (response !== undefined && !socket.write(response.value)) {
          await once(socket, 'drain', { signal });
        }
      }
      tell('The display has ended: the VM is off, or has moved');
      socket.end(() => socket.destroy());
      await once(socket, 'close', { signal: this.#signal });
    } catch (error) {
      if (gone.signal.aborted) tell('A viewer has gone');
      else if (!this.#signal.aborted) {
        tell(
          `A viewer cannot see the screen: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    } finally {
      socket.destroy();
    }
  }
}

/** Before any viewer comes: what is in the way is told now. */
async function tryOut({ consoles, ref, signal }: VncListenerOptions): Promise<void> {
  for await (const _first of consoles.openDisplay(ref, { signal }).responses) return;
}

/** Ends with either of them, and never fails. */
async function sendAll(socket: Socket, send: (data: Uint8Array) => Promise<void>): Promise<void> {
  try {
    for await (const data of socket as AsyncIterable<Buffer>) await send(data);
  } catch {
    // One that was cut: whoever writes to it sees that.
  }
}
