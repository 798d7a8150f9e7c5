import type net from 'node:net';
import type tls from 'node:tls';
import { Server } from '@grpc/grpc-js';
import { AgentError } from '../../core/errors.ts';
import { parseHostPort } from '../../core/host-port.ts';
import type { Logger } from '../../core/logger.ts';
import { HealthService } from '../../gen/grpc/health/v1/health.ts';
import { ConsoleServiceService } from '../../gen/novacron/agent/v1/console.ts';
import { EventServiceService } from '../../gen/novacron/agent/v1/event.ts';
import { GuestServiceService } from '../../gen/novacron/agent/v1/guest.ts';
import { ImageServiceService } from '../../gen/novacron/agent/v1/image.ts';
import { MigrationServiceService } from '../../gen/novacron/agent/v1/migration.ts';
import { NodeServiceService } from '../../gen/novacron/agent/v1/node.ts';
import { OperationServiceService } from '../../gen/novacron/agent/v1/operation.ts';
import { VirtualMachineServiceService } from '../../gen/novacron/agent/v1/virtual_machine.ts';
import { PeerServiceService } from '../../gen/novacron/peer/v1/peer.ts';
import type { ConsoleService } from '../consoles/console.ts';
import type { EventService } from '../events/event.ts';
import type { GuestService } from '../guests/guest.ts';
import type { ImageService } from '../images/image.ts';
import type { IncomingService, MigrationService } from '../migration/migration.ts';
import type { NodeService } from '../node/node.ts';
import type { OperationService } from '../operations/operation.ts';
import type { ShutdownService } from '../shutdown/node-shutdown.ts';
import type { VmService } from '../vms/vm.ts';
import type { OwnershipService } from '../vms/vm-peers.ts';
import { AdmittedCalls } from './admission.ts';
import { bindService } from './bind-service.ts';
import { Calls } from './calls.ts';
import type { CertificateChange, Certificates } from './certificates.ts';
import { Connections } from './connections.ts';
import { consoleHandlers } from './console-handlers.ts';
import { eventHandlers } from './event-handlers.ts';
import { guestHandlers } from './guest-handlers.ts';
import { Health } from './health.ts';
import { LOCAL_CALLER } from './identity.ts';
import { imageHandlers } from './image-handlers.ts';
import { MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES } from './message-limits.ts';
import { migrationHandlers } from './migration-handlers.ts';
import { nodeHandlers } from './node-handlers.ts';
import { operationHandlers } from './operation-handlers.ts';
import { peerHandlers } from './peer-handlers.ts';
import { addReflection } from './reflection.ts';
import type { RpcObserver } from './rpc-observer.ts';
import { listenTls } from './tls-listener.ts';
import { listenUnix } from './unix-listener.ts';
import { virtualMachineHandlers } from './virtual-machine-handlers.ts';

export interface NetworkOptions {
  /** HOST:PORT for mutual TLS. */
  readonly listen: string;
  readonly certificates: Certificates;
}

export interface RpcServerOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  /** For other nodes and clients elsewhere; undefined where the node is alone. */
  readonly network: NetworkOptions | undefined;
  readonly vms: VmService;
  readonly consoles: ConsoleService;
  readonly guests: GuestService;
  readonly images: ImageService;
  readonly migrations: MigrationService;
  readonly operations: OperationService;
  readonly events: EventService;
  readonly incoming: IncomingService;
  readonly ownership: OwnershipService;
  readonly node: NodeService;
  readonly shutdown: ShutdownService;
  readonly log: Logger;
  readonly observer: RpcObserver;
}

const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_RESPONSE_BYTES,
  // For each connection.
  'grpc.max_concurrent_streams': 256,
  // Finds clients that vanished, and those that connect and never speak.
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.enable_channelz': 0,
};

const SHUTDOWN_GRACE_MS = 5_000;
const REPLACED_CA_GRACE_MS = 30_000;
const CANCEL_GRACE_MS = 1_000;

/** The agent's API on a unix socket (root of this node) and, unless the node is alone, on TCP (mutual TLS 1.3). */
export class RpcServer implements AsyncDisposable {
  readonly #calls: Calls;
  readonly #health = new Health();
  readonly #local: Connections;
  readonly #remote: Connections;
  readonly #listeners: net.Server[] = [];
  #closed: Promise<void> | undefined;

  private constructor(options: RpcServerOptions) {
    const admitted = new AdmittedCalls();
    const server = new Server(SERVER_OPTIONS);
    this.#calls = new Calls(admitted, options.log);
    bindService(
      server,
      VirtualMachineServiceService,
      virtualMachineHandlers(options.vms, options.operations),
      this.#calls,
      ['getConsoleLog'],
    );
    bindService(server, ConsoleServiceService, consoleHandlers(options.consoles), this.#calls);
    bindService(server, GuestServiceService, guestHandlers(options.guests), this.#calls);
    bindService(server, ImageServiceService, imageHandlers(options.images), this.#calls);
    bindService(
      server,
      MigrationServiceService,
      migrationHandlers(options.migrations),
      this.#calls,
    );
    bindService(
      server,
      OperationServiceService,
      operationHandlers(options.operations),
      this.#calls,
    );
    bindService(server, EventServiceService, eventHandlers(options.events), this.#calls);
    bindService(
      server,
      NodeServiceService,
      nodeHandlers(options.node, options.operations, options.shutdown),
      this.#calls,
    );
    bindService(
      server,
      PeerServiceService,
      peerHandlers(options.incoming, options.ownership),
      this.#calls,
    );
    bindService(server, HealthService, this.#health.handlers(), this.#calls);
    addReflection(server);

    const { log, observer } = options;
    this.#local = new Connections(server, { admitted, observer, log });
    this.#remote = new Connections(server, { admitted, observer, log });
  }

  /** Fails with INVALID_CONFIG if it cannot listen. Health says NOT_SERVING until `setReady(true)`. */
  static async start(options: RpcServerOptions): Promise<RpcServer> {
    const server = new RpcServer(options);
    try {
      await server.#listen(options);
    } catch (error) {
      await server.close(0);
      throw error;
    }
    return server;
  }

  setReady(ready: boolean): void {
    this.#health.setReady(ready);
  }

  /** The TCP port; of use when it was given as 0. */
  get port(): number {
    const address = this.#listeners.at(-1)?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#local.size + this.#remote.size;
  }

  get runningCalls(): number {
    return this.#calls.running;
  }

  /**
   * Stops listening, ends streams with SHUTTING_DOWN, waits up to `graceMs` for the other calls and cancels what
   * is left then. Closing again waits for the same end.
   */
  close(graceMs: number = SHUTDOWN_GRACE_MS): Promise<void> {
    this.#closed ??= this.#close(graceMs);
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listen({ socket, network, log }: RpcServerOptions): Promise<void> {
    this.#listeners.push(
      await listenUnix(socket, (connection) => {
        connection.on('error', () => undefined);
        this.#local.serve(connection, LOCAL_CALLER);
      }),
    );
    if (network === undefined) return;
    const { listen, certificates } = network;
    const tcp: tls.Server = await listenTls(
      parseHostPort(listen),
      certificates,
      log,
      (connection, caller) => this.#remote.serve(connection, caller),
    );
    this.#listeners.push(tcp);
    tcp.once(
      'close',
      certificates.onChange((change) => this.#onCertificates(change)),
    );
  }

  /** Whoever got in by the old CA must show that the new one lets them in too. */
  #onCertificates({ caChanged }: CertificateChange): void {
    if (!caChanged) return;
    const reason = new AgentError(
      'SHUTTING_DOWN',
      'The CA of this node was replaced: connect again',
      { retryAfterMs: 1_000 },
    );
    this.#calls.track(this.#remote.drain(reason, REPLACED_CA_GRACE_MS));
  }

  async #close(graceMs: number): Promise<void> {
    this.setReady(false);
    for (const listener of this.#listeners) listener.close();
    const reason = new AgentError('SHUTTING_DOWN', 'The agent is shutting down', {
      retryAfterMs: 1_000,
    });
    await Promise.all([this.#local.close(reason, graceMs), this.#remote.close(reason, graceMs)]);
    // Their callers are gone and their signals aborted; one that does not listen is left alone.
    const { promise: patience, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, CANCEL_GRACE_MS);
    await Promise.race([this.#calls.idle(), patience]);
    clearTimeout(timer);
  }
}
