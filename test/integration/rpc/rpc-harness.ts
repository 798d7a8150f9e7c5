import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createSecureContext, type SecureVersion } from 'node:tls';
import { Client, credentials, type Metadata, type ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import {
  type Credentials,
  Certificates as LabCertificates,
} from '../../../lab/node/certificates.ts';
import type { OperationManager } from '../../../src/agent/operations/operation-manager.ts';
import { ReportOriginSource } from '../../../src/agent/reports/report-origin-source.ts';
import { Certificates } from '../../../src/agent/rpc/certificates.ts';
import type { RpcObserver } from '../../../src/agent/rpc/rpc-observer.ts';
import { RpcServer } from '../../../src/agent/rpc/rpc-server.ts';
import type { LogLevel } from '../../../src/core/log-level.ts';
import { ErrorInfo } from '../../../src/gen/google/rpc/error_details.ts';
import { Status } from '../../../src/gen/google/rpc/status.ts';
import { ConsoleServiceClient } from '../../../src/gen/novacron/agent/v1/console.ts';
import { GuestServiceClient } from '../../../src/gen/novacron/agent/v1/guest.ts';
import { MigrationServiceClient } from '../../../src/gen/novacron/agent/v1/migration.ts';
import { NodeServiceClient } from '../../../src/gen/novacron/agent/v1/node.ts';
import { OperationServiceClient } from '../../../src/gen/novacron/agent/v1/operation.ts';
import { VirtualMachineServiceClient } from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { PeerServiceClient } from '../../../src/gen/novacron/peer/v1/peer.ts';
import { FakeConsoleService } from '../../fakes/fake-console-service.ts';
import { FakeGuestService } from '../../fakes/fake-guest-service.ts';
import { FakeImageService } from '../../fakes/fake-image-service.ts';
import { FakeIncomingService } from '../../fakes/fake-incoming-service.ts';
import { FakeMigrationService } from '../../fakes/fake-migration-service.ts';
import { FakeNodeService } from '../../fakes/fake-node-service.ts';
import { FakeOwnershipService } from '../../fakes/fake-ownership-service.ts';
import { FakeShutdownService } from '../../fakes/fake-shutdown-service.ts';
import { FakeVmService, NODE_BOOT, ORIGIN } from '../../fakes/fake-vm-service.ts';
import { memoryEvents } from '../../fakes/memory-events.ts';
import { promptOperations } from '../../fakes/prompt-operations.ts';

export const never = new AbortController().signal;

const CERTIFICATE_POLL_MS = 25;

type CallEnd = Parameters<RpcObserver['callEnded']>[0];

/** A real server on both listeners with fake features behind it, and clients of any identity. */
export class RpcHarness implements AsyncDisposable {
  readonly vms: FakeVmService;
  readonly consoles = new FakeConsoleService();
  readonly guests = new FakeGuestService();
  readonly images = new FakeImageService();
  readonly migrations = new FakeMigrationService();
  readonly incoming = new FakeIncomingService();
  readonly ownership = new FakeOwnershipService();
  readonly node: FakeNodeService;
  readonly shutdown = new FakeShutdownService();
  readonly operations: OperationManager;
  readonly events: Awaited<ReturnType<typeof memoryEvents>>;
  readonly logLines: Record<string, unknown>[] = [];
  readonly callEnds: CallEnd[] = [];
  readonly folder: string;
  readonly authority: LabCertificates;
  readonly nodeFiles: Credentials;
  readonly certificates: Certificates;
  #server: RpcServer | undefined;
  #host = '';
  readonly #logLevel: LogLevel;
  /** Everything to let go of, in the order in which it came. */
  #owned = new AsyncDisposableStack();

  private constructor(
    folder: string,
    authority: LabCertificates,
    nodeFiles: Credentials,
    certificates: Certificates,
    fakes: { readonly vms: FakeVmService; readonly node: FakeNodeService },
    operations: OperationManager,
    events: Awaited<ReturnType<typeof memoryEvents>>,
    logLevel: LogLevel,
  ) {
    this.vms = fakes.vms;
    this.node = fakes.node;
    this.operations = operations;
    this.events = events;
    this.#logLevel = logLevel;
    this.folder = folder;
    this.authority = authority;
    this.nodeFiles = nodeFiles;
    this.certificates = certificates;
  }

  static async start(logLevel: LogLevel = 'debug'): Promise<RpcHarness> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(tmpdir(), 'nc-rpc-'));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const authority = await LabCertificates.ensure(path.join(folder, 'ca'), never);
    const nodeFiles = await authority.issue('node', nodeNames('node-a'), never);
    const log = pino({ level: 'silent' });
    const certificates = undo.use(
      await Certificates.open(nodeFiles, log, { intervalMs: CERTIFICATE_POLL_MS }),
    );
    const fakes = { vms: new FakeVmService(), node: new FakeNodeService() };
    const origins = new ReportOriginSource({ ...NODE_BOOT, agentEpoch: ORIGIN.agentEpoch });
    const operations = await promptOperations(fakes.vms, fakes.node, origins);
    const harness = new RpcHarness(
      folder,
      authority,
      nodeFiles,
      certificates,
      fakes,
      operations,
      await memoryEvents(origins),
      logLevel,
    );
    undo.defer(() => harness.#server?.close(0));
    await harness.restart();
    harness.#owned = undo.move();
    return harness;
  }

  /** `host` as it stands in an address: one of IPv6 in brackets. */
  async restart(port = 0, host = '127.0.0.1'): Promise<void> {
    await this.#server?.close(0);
    this.#host = host;
    this.#server = await RpcServer.start({
      socket: this.socket,
      network: { listen: `${host}:${port}`, certificates: this.certificates },
      vms: this.vms,
      consoles: this.consoles,
      guests: this.guests,
      images: this.images,
      migrations: this.migrations,
      incoming: this.incoming,
      ownership: this.ownership,
      node: this.node,
      shutdown: this.shutdown,
      operations: this.operations,
      events: this.events.events,
      log: pino(
        { level: this.#logLevel, base: null },
        { write: (line: string) => this.logLines.push(JSON.parse(line)) },
      ),
      observer: { callStarted: () => undefined, callEnded: (end) => this.callEnds.push(end) },
    });
  }

  get server(): RpcServer {
    if (this.#server === undefined) throw new Error('The server is not started');
    return this.#server;
  }

  get socket(): string {
    return path.join(this.folder, 'run', 'agent.sock');
  }

  get address(): string {
    return `${this.#host}:${this.server.port}`;
  }

  /** Credentials of our CA with the URIs given. */
  async identity(...uris: readonly string[]): Promise<Credentials> {
    const file = `client-${uris.join('-').replaceAll(/[^a-z0-9]+/gi, '-')}`;
    const names = [...uris.map((uri) => `URI:${uri}`), 'DNS:client'].join(',');
    return this.authority.issue(file, names, never);
  }

  /** Clients of all services; without credentials over the unix socket. */
  clients(files?: Credentials, options: ClientOptions = {}) {
    const address = files === undefined ? `unix:${this.socket}` : this.address;
    const channel =
      files === undefined ? credentials.createInsecure() : secureChannel(files, options);
    const settings = {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.ssl_target_name_override': 'node-a',
      'grpc.initial_reconnect_backoff_ms': 50,
      'grpc.max_reconnect_backoff_ms': 100,
    };
    const clients = {
      vms: new VirtualMachineServiceClient(address, channel, settings),
      consoles: new ConsoleServiceClient(address, channel, settings),
      guests: new GuestServiceClient(address, channel, settings),
      migrations: new MigrationServiceClient(address, channel, settings),
      node: new NodeServiceClient(address, channel, settings),
      operations: new OperationServiceClient(address, channel, settings),
      peer: new PeerServiceClient(address, channel, settings),
      raw: new Client(address, channel, settings),
    };
    for (const client of Object.values(clients)) this.#owned.adopt(client, close);
    return clients;
  }

  async asRole(role: 'controller' | 'operator' | 'viewer') {
    return this.clients(await this.identity(`spiffe://novacron/role/${role}`));
  }

  async asPeer(nodeName: string) {
    return this.clients(await this.identity(`spiffe://novacron/node/${nodeName}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

interface ClientOptions {
  readonly maxVersion?: SecureVersion;
}

function close(client: { close(): void }): void {
  client.close();
}

export function nodeNames(nodeName: string): string {
  return `URI:spiffe://novacron/node/${nodeName},DNS:${nodeName},IP:127.0.0.1`;
}

function secureChannel(files: Credentials, { maxVersion }: ClientOptions) {
  const context = createSecureContext({
    cert: readFileSync(files.certificate),
    key: readFileSync(files.key),
    ca: readFileSync(files.ca),
    ...(maxVersion === undefined ? {} : { maxVersion }),
  });
  return credentials.createFromSecureContext(context);
}

/** A unary method as a promise. */
export function call<Request, Response>(
  method: (
    request: Request,
    callback: (error: ServiceError | null, response: Response) => void,
  ) => unknown,
  request: Request,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  method(request, (error, response) => (error === null ? resolve(response) : reject(error)));
  return promise;
}

/** What a failed call tells a program. */
export interface Failure {
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  readonly info: ErrorInfo | undefined;
  readonly details: Status['details'];
}

export async function failure(work: Promise<unknown>): Promise<Failure> {
  try {
    await work;
  } catch (error) {
    return readFailure(error as ServiceError);
  }
  throw new Error('The call did not fail');
}

export function readFailure(error: {
  readonly code?: number;
  readonly details?: string;
  readonly metadata?: Metadata;
}): Failure {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  const details = bytes instanceof Buffer ? Status.decode(bytes).details : [];
  const packed = details.find(({ typeUrl }) => typeUrl.endsWith('/google.rpc.ErrorInfo'));
  const info = packed && ErrorInfo.decode(packed.value);
  const { code = -1, details: message = 'no details' } = error;
  return { code, message, reason: info?.reason, info, details };
}

/** Long enough for a machine that does ten other things; only a failure takes as long. */
const PATIENCE_MS = 30_000;

/** Waits until something holds. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`Waited in vain: ${holds.toString()}`);
    await delay(5);
  }
}
