import { once } from 'node:events';
import net from 'node:net';

/** Takes connections and says nothing, as an agent that hangs; tells when somebody has called. */
export class DeafServer implements AsyncDisposable {
  readonly called: Promise<unknown>;
  readonly #server = net.createServer();
  readonly #callers = new Set<net.Socket>();

  private constructor() {
    this.called = once(this.#server, 'connection');
    this.#server.on('connection', (caller) => {
      this.#callers.add(caller);
      caller.on('error', () => undefined);
    });
  }

  static async listen(port = 0): Promise<DeafServer> {
    const deaf = new DeafServer();
    deaf.#server.listen(port, '127.0.0.1');
    await once(deaf.#server, 'listening');
    return deaf;
  }

  get address(): string {
    const { port } = this.#server.address() as net.AddressInfo;
    return `127.0.0.1:${port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const caller of this.#callers) caller.destroy();
    await closed;
  }
}
