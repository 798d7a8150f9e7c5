import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { toStatus } from '../../src/agent/rpc/status.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { ReportOrigin } from '../../src/gen/novacron/agent/v1/common.ts';
import {
  type Migration,
  type MigrationBlocker,
  MigrationServiceService,
} from '../../src/gen/novacron/agent/v1/migration.ts';
import { Node, NodeServiceService } from '../../src/gen/novacron/agent/v1/node.ts';
import {
  type Operation,
  OperationServiceService,
} from '../../src/gen/novacron/agent/v1/operation.ts';
import {
  type ApplyVirtualMachineRequest,
  type ShutdownVirtualMachineRequest,
  VirtualMachine,
  VirtualMachinePhase,
  VirtualMachineServiceService,
  type WatchVirtualMachinesRequest,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { migrationMethods } from './fake-migration-methods.ts';
import { nodeMethods } from './fake-node-methods.ts';
import { operationMethods } from './fake-operation-methods.ts';
import { FakeClock, FakeResources } from './fake-resources.ts';
import { vmMethods } from './fake-vm-methods.ts';

/** An agent's gRPC server with VMs in memory; starts and stops nothing. */
export class FakeAgentServer implements AsyncDisposable {
  readonly clock = new FakeClock();
  readonly vms = new FakeResources<VirtualMachine>(this.clock);
  readonly migrations = new FakeResources<Migration>(this.clock);
  readonly operations = new FakeResources<Operation>(this.clock);
  readonly nodes = new FakeResources<Node>(this.clock);
  /** What a watched migration goes through; the last one stays. */
  migrationSteps: Migration[] = [];
  /** What a watched operation goes through; the last one stays. Without any it has succeeded at once. */
  operationSteps: Partial<Operation>[] = [];
  /** Ids of operations that watches do not tell of, as they ended long ago. */
  readonly forgottenOperations = new Set<string>();
  planBlockers: MigrationBlocker[] = [];
  /** Told by Create and Apply. */
  warnings: string[] = [];
  /** The next call fails with it. */
  failNext: AgentError | undefined;
  /** Calls are not answered while set. */
  hangs = false;
  /** Unary calls so far. */
  calls = 0;
  /** What Delete answers for a VM that is not there. */
  absence = 'NEVER_HERE';
  /** Said with every event of a VM. */
  movedToNode = '';
  console = Buffer.from('Linux version 6.1.0\r\nlogin: ');
  readonly watchRequests: WatchVirtualMachinesRequest[] = [];
  readonly createRequests: VirtualMachine[] = [];
  readonly applyRequests: ApplyVirtualMachineRequest[] = [];
  readonly shutdownRequests: ShutdownVirtualMachineRequest[] = [];
  #server = new Server();

  constructor() {
    this.nodes.put('node-a', makeNode);
  }

  /** `unix:/path` or HOST:PORT; answers with the port that was bound. */
  async listen(address: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
    this.#server.addService(NodeServiceService, nodeMethods(this));
    this.#server.addService(VirtualMachineServiceService, vmMethods(this));
    this.#server.addService(MigrationServiceService, migrationMethods(this));
    this.#server.addService(OperationServiceService, operationMethods(this));
    const bound = Promise.withResolvers<number>();
    this.#server.bindAsync(address, credentials, (error, port) => {
      if (error === null) bound.resolve(port);
      else bound.reject(error);
    });
    return bound.promise;
  }

  /** Cuts all connections, as a killed agent does; `listen` may follow. */
  stop(): void {
    this.#server.forceShutdown();
    this.#server = new Server();
    for (const kind of this.#kinds) kind.dropWatches();
  }

  /** What a restarted agent does: a new epoch, other origins, and nobody can go on from an old cursor. */
  restartEpoch(): void {
    this.clock.epoch += 1n;
    this.clock.revision = 0n;
    for (const [key, vm] of this.vms.entries()) {
      this.vms.put(key, (origin) => ({ ...vm, status: vm.status && { ...vm.status, origin } }));
    }
    for (const kind of this.#kinds) kind.forgetHistory();
  }

  /** The same with a journal from an older backup: the epoch is one that there was before. */
  restoreEpoch(epoch: bigint): void {
    this.clock.epoch = epoch - 1n;
    this.restartEpoch();
  }

  /** The same agent, but nobody can go on from a cursor of before. */
  forgetHistory(): void {
    for (const kind of this.#kinds) kind.forgetHistory();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  /** Adds or replaces a VM and tells the watchers. */
  put(
    name: string,
    vm: Parameters<typeof VirtualMachine.create>[0] = {},
    phase: VirtualMachinePhase = VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
  ): VirtualMachine {
    const namespace = vm?.metadata?.namespace || 'default';
    const key = `${namespace}/${name}`;
    const before = this.vms.get(key);
    const resources = { cpu: '1', memory: '512Mi' };
    return this.vms.put(key, (origin) =>
      VirtualMachine.create({
        ...vm,
        metadata: {
          generation: 1n,
          ...vm?.metadata,
          creationTimestamp: { seconds: 1_700_000_000n, nanos: 0 },
          namespace,
          name,
          uid: vm?.metadata?.uid || before?.metadata?.uid || `uid-of-${name}`,
        },
        spec: { template: { spec: { resources } }, ...vm?.spec },
        status: { phase, nodeName: 'node-a', observedGeneration: 1n, origin },
      }),
    );
  }

  remove(name: string, namespace = 'default'): void {
    this.vms.remove(`${namespace}/${name}`);
  }

  /** A unary method. */
  answer<Request, Response>(work: (request: Request) => Response) {
    return (call: { readonly request: Request }, callback: sendUnaryData<Response>) => {
      this.calls += 1;
      if (this.hangs) return;
      try {
        this.#failOnce();
        callback(null, work(call.request));
      } catch (error) {
        callback(toServiceError(error));
      }
    };
  }

  /** A method that answers with a stream. */
  stream<Request, Response>(work: (call: ServerWritableStream<Request, Response>) => void) {
    return (call: ServerWritableStream<Request, Response>) => {
      try {
        this.#failOnce();
        work(call);
      } catch (error) {
        call.emit('error', toServiceError(error));
      }
    };
  }

  #failOnce(): void {
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw failure;
  }

  get #kinds(): readonly Pick<FakeResources<unknown>, 'dropWatches' | 'forgetHistory'>[] {
    return [this.vms, this.migrations, this.operations, this.nodes];
  }
}

function makeNode(origin: ReportOrigin): Node {
  return Node.create({
    metadata: { name: 'node-a', uid: '3f1c2d4e-0000-4000-8000-000000000001', generation: 1n },
    spec: {},
    status: {
      agentVersion: '0.1.0',
      advertiseAddress: '10.0.0.1:7443',
      hypervisor: {
        connected: true,
        uri: 'qemu:///system',
        libvirtVersion: '9.0.0',
        qemuVersion: '7.2.22',
        accelerator: 'kvm',
        architecture: 'x86_64',
        features: [{ name: 'multifd', available: true }],
      },
      capacity: { cpu: '8', memory: '16Gi' },
      allocatable: { cpu: '8', memory: '15Gi' },
      allocated: { cpu: '1', memory: '586Mi' },
      conditions: [{ type: 'Ready', status: 1 }],
      origin,
    },
  });
}

/** By the agent's own edge, so that what the client reads is what agents write. */
function toServiceError(error: unknown): Partial<ServiceError> {
  return toStatus(error, new AbortController().signal, 'request-1');
}
