import type { Duplex } from 'node:stream';
import {
  type ConnectionInjector,
  experimental,
  type Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import type { AgentError } from '../../core/errors.ts';
import { type AdmissionDependencies, admission, type Gate } from './admission.ts';
import type { Caller } from './identity.ts';
import { type RpcStatus, toStatus } from './status.ts';

const never = new AbortController().signal;

/** The connections of one listener. */
export class Connections {
  readonly #open = new Set<Connection>();
  readonly #server: Server;
  readonly #dependencies: AdmissionDependencies;
  #closed = false;

  constructor(server: Server, dependencies: AdmissionDependencies) {
    this.#server = server;
    this.#dependencies = dependencies;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Lets gRPC talk over a socket whose other end is known (or known to be nobody). */
  serve(socket: Duplex, caller: Caller | AgentError): void {
    if (this.#closed) {
      socket.destroy();
      return;
    }
    const connection = new Connection(this.#server, socket, caller, this.#dependencies);
    this.#open.add(connection);
    socket.once('close', () => {
      this.#open.delete(connection);
      connection.release();
    });
  }

  /**
   * Takes no more calls on the connections that are open now, ends their streams with `reason`, waits up to
   * `graceMs` for the other calls, and cuts what is left then.
   */
  async drain(reason: AgentError, graceMs: number): Promise<void> {
    await Promise.all([...this.#open].map((connection) => connection.drain(reason, graceMs)));
  }

  /** Drains, and takes no connection any more: one may still come out of its TLS handshake. */
  async close(reason: AgentError, graceMs: number): Promise<void> {
    this.#closed = true;
    await this.drain(reason, graceMs);
  }
}

class Connection implements Gate {
  readonly caller: Caller | AgentError;
  readonly openStreams = new Set<(status: RpcStatus) => void>();
  closing: AgentError | undefined;
  unreadBytes = 0;
  readonly #socket: Duplex;
  readonly #injector: ConnectionInjector;

  constructor(
    server: Server,
    socket: Duplex,
    caller: Caller | AgentError,
    dependencies: AdmissionDependencies,
  ) {
    this.#socket = socket;
    this.caller = caller;
    // Each connection has an injector of its own, so that its interceptor knows the caller for certain
    // and without reading the certificate for every call.
    this.#injector = server.createConnectionInjector(
      experimental.createServerCredentialsWithInterceptors(ServerCredentials.createInsecure(), [
        admission(this, dependencies),
      ]),
    );
    this.#injector.injectConnection(socket);
  }

  async drain(reason: AgentError, graceMs: number): Promise<void> {
    this.closing = reason;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    if (this.#socket.destroyed) return;
    for (const end of this.openStreams) end(toStatus(reason, never, ''));
    this.#injector.drain(graceMs);
    // gRPC's own cut spares sockets on which no HTTP/2 was spoken yet.
    const cut = setTimeout(() => this.#socket.destroy(), graceMs);
    await closed;
    clearTimeout(cut);
  }

  release(): void {
    this.#injector.destroy();
  }
}
