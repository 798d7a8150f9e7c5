import {
  Server,
  ServerCredentials,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
} from '@grpc/grpc-js';
import { toStatus } from '../../src/agent/rpc/status.ts';
import { AgentError } from '../../src/core/errors.ts';
import { WatchEventType } from '../../src/gen/novacron/agent/v1/common.ts';
import {
  Migration,
  MigrationPhase,
  MigrationRole,
  MigrationServiceService,
  type MigrationSpec,
} from '../../src/gen/novacron/agent/v1/migration.ts';
import { Node, NodeServiceService } from '../../src/gen/novacron/agent/v1/node.ts';
import {
  PowerState,
  VirtualMachine,
  VirtualMachinePhase,
  VirtualMachineServiceService,
  type WatchVirtualMachinesRequest,
  type WatchVirtualMachinesResponse,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';

type VmWatch = ServerWritableStream<WatchVirtualMachinesRequest, WatchVirtualMachinesResponse>;

/** An agent's gRPC server with VMs in memory; starts and stops nothing. */
export class FakeAgentServer implements AsyncDisposable {
  readonly vms = new Map<string, VirtualMachine>();
  readonly migrations = new Map<string, Migration>();
  /** What a watched migration goes through; the last one stays. */
  migrationSteps: Migration[] = [];
  planBlockers: { reason: string; message: string; nodeName: string; subject: string }[] = [];
  /** The next call fails with it. */
  failNext: AgentError | undefined;
  /** Calls are not answered while set. */
  hangs = false;
  /** Whether a watch that goes on from its cursor is told when it is up to date. */
  tellsSyncedAgain = false;
  /** VMs that are started stay off. */
  startsNothing = false;
  console = Buffer.from('Linux version 6.1.0\r\nlogin: ');
  epoch = 1n;
  revision = 0n;
  readonly watchRequests: WatchVirtualMachinesRequest[] = [];
  readonly createRequests: VirtualMachine[] = [];
  readonly #history: WatchVirtualMachinesResponse[] = [];
  readonly #watches = new Set<VmWatch>();
  readonly #timers: NodeJS.Timeout[] = [];
  #forgotten = 0n;
  #server = new Server();

  /** `unix:/path` or HOST:PORT; answers with the port that was bound. */
  async listen(address: string, credentials = ServerCredentials.createInsecure()): Promise<number> {
    this.#server.addService(NodeServiceService, {
      getNode: this.#unary(() => ({ node: this.#node() })),
      watchNode: (call: ServerWritableStream<unknown, unknown>) => {
        call.write({ node: this.#node() });
      },
    });
    this.#server.addService(VirtualMachineServiceService, this.#vmService());
    this.#server.addService(MigrationServiceService, this.#migrationService());
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
    this.#watches.clear();
  }

  /** What a restarted agent does: a new epoch, and nobody can go on from an old cursor. */
  restartEpoch(): void {
    this.epoch += 1n;
    this.revision = 0n;
    this.#forgotten = 0n;
    this.#history.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearTimeout(timer);
    this.stop();
  }

  /** The same agent, but nobody can go on from a cursor of before. */
  forgetHistory(): void {
    this.#forgotten = this.revision;
    this.#history.length = 0;
  }

  origin() {
    return {
      nodeName: 'node-a',
      nodeBootId: 'boot-1',
      agentEpoch: this.epoch,
      revision: this.revision,
    };
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
    this.revision += 1n;
    const made = VirtualMachine.create({
      ...vm,
      metadata: {
        generation: 1n,
        ...vm?.metadata,
        createTime: { seconds: 1_700_000_000n, nanos: 0 },
        namespace,
        name,
        uid: vm?.metadata?.uid || before?.metadata?.uid || `uid-of-${name}`,
      },
      spec: { cpu: { vcpus: 1 }, memory: { sizeBytes: 512n * 1024n ** 2n }, ...vm?.spec },
      status: { phase, observedGeneration: 1n, origin: this.origin() },
    });
    this.vms.set(key, made);
    this.#tell(
      before === undefined
        ? WatchEventType.WATCH_EVENT_TYPE_ADDED
        : WatchEventType.WATCH_EVENT_TYPE_MODIFIED,
      made,
    );
    return made;
  }

  remove(name: string, namespace = 'default'): void {
    const vm = this.vms.get(`${namespace}/${name}`);
    if (vm === undefined || !this.vms.delete(`${namespace}/${name}`)) return;
    this.revision += 1n;
    this.#tell(WatchEventType.WATCH_EVENT_TYPE_DELETED, vm);
  }

  #tell(type: WatchEventType, virtualMachine: VirtualMachine): void {
    const event = { type, virtualMachine, origin: this.origin() };
    this.#history.push(event);
    for (const watch of this.#watches) watch.write(event);
  }

  #node(): Node {
    return Node.create({
      metadata: { name: 'node-a', uid: '3f1c2d4e-0000-4000-8000-000000000001' },
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
        capacity: { cpus: 8, memoryBytes: 16n * 1024n ** 3n },
        allocated: { cpus: 1, memoryBytes: 512n * 1024n ** 2n },
        conditions: [{ type: 'Ready', status: 1 }],
        origin: this.origin(),
      },
    });
  }

  #vm(ref: { namespace: string; name: string } | undefined): VirtualMachine {
    const key = `${ref?.namespace || 'default'}/${ref?.name ?? ''}`;
    const vm = this.vms.get(key);
    if (vm !== undefined) return vm;
    throw new AgentError('VM_NOT_FOUND', `There is no VM ${key} on node node-a`);
  }

  #vmService() {
    const move = (phase: () => VirtualMachinePhase) =>
      this.#unary((request: { ref: { namespace: string; name: string } | undefined }) => {
        const vm = this.#vm(request.ref);
        return { virtualMachine: this.put(vm.metadata?.name ?? '', vm, phase()) };
      });
    return {
      createVirtualMachine: this.#unary(
        (request: { virtualMachine: VirtualMachine | undefined; dryRun: boolean }) => {
          const vm = request.virtualMachine ?? VirtualMachine.create();
          this.createRequests.push(vm);
          if (request.dryRun) return { virtualMachine: vm };
          const phase =
            vm.spec?.powerState === PowerState.POWER_STATE_STOPPED
              ? VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED
              : VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING;
          return { virtualMachine: this.put(vm.metadata?.name ?? '', vm, phase) };
        },
      ),
      getVirtualMachine: this.#unary(
        (request: { ref: { namespace: string; name: string } | undefined }) => ({
          virtualMachine: this.#vm(request.ref),
        }),
      ),
      listVirtualMachines: this.#unary(
        (request: { namespace: string; labelSelector: Record<string, string> }) => ({
          virtualMachines: [...this.vms.values()].filter(
            (vm) =>
              (request.namespace === '' || vm.metadata?.namespace === request.namespace) &&
              Object.entries(request.labelSelector).every(
                ([key, value]) => vm.metadata?.labels[key] === value,
              ),
          ),
          origin: this.origin(),
        }),
      ),
      watchVirtualMachines: (call: VmWatch) => this.#watch(call),
      startVirtualMachine: move(() =>
        this.startsNothing
          ? VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED
          : VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
      ),
      shutdownVirtualMachine: this.#unary(
        (request: { ref: { namespace: string; name: string } | undefined }) => {
          const vm = this.#vm(request.ref);
          const name = vm.metadata?.name ?? '';
          const off = setTimeout(
            () => this.put(name, vm, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED),
            50,
          );
          this.#timers.push(off);
          return {
            virtualMachine: this.put(name, vm, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPING),
          };
        },
      ),
      destroyVirtualMachine: move(() => VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED),
      deleteVirtualMachine: this.#unary(
        (request: { ref: { namespace: string; name: string } | undefined; force: boolean }) => {
          const vm = this.vms.get(
            `${request.ref?.namespace || 'default'}/${request.ref?.name ?? ''}`,
          );
          const runs = vm?.status?.phase === VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING;
          if (runs && !request.force) {
            throw new AgentError('VM_RUNNING', `Cannot delete VM ${request.ref?.name}: it runs`);
          }
          this.remove(request.ref?.name ?? '', request.ref?.namespace || 'default');
          return {};
        },
      ),
      getConsoleLog: (call: ServerWritableStream<{ tailBytes: bigint }, unknown>) => {
        const tail = Number(call.request.tailBytes);
        call.write({ data: tail === 0 ? this.console : this.console.subarray(-tail) });
        call.end();
      },
    };
  }

  #watch(call: VmWatch): void {
    this.watchRequests.push(call.request);
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) {
      call.emit('error', toServiceError(failure));
      return;
    }
    const { cursor } = call.request;
    const continues = cursor?.agentEpoch === this.epoch && cursor.revision >= this.#forgotten;
    const events = continues
      ? this.#history.filter((event) => (event.origin?.revision ?? 0n) > cursor.revision)
      : [...this.vms.values()].map((virtualMachine) => ({
          type: WatchEventType.WATCH_EVENT_TYPE_ADDED,
          virtualMachine,
          origin: this.origin(),
        }));
    for (const event of events) call.write(event);
    if (!continues || this.tellsSyncedAgain) {
      call.write({
        type: WatchEventType.WATCH_EVENT_TYPE_SYNCED,
        virtualMachine: undefined,
        origin: this.origin(),
      });
    }
    this.#watches.add(call);
    call.on('cancelled', () => this.#watches.delete(call));
  }

  #migrationService() {
    const find = (id: string) => {
      const migration = this.migrations.get(id);
      if (migration !== undefined) return migration;
      throw new AgentError('MIGRATION_NOT_FOUND', `This node knows no migration ${id}`);
    };
    return {
      planMigration: this.#unary(() => ({
        blockers: this.planBlockers,
        transport: 'stream',
        memoryBytes: 512n * 1024n ** 2n,
      })),
      startMigration: this.#unary(
        ({ id, spec }: { id: string; spec: MigrationSpec | undefined }) => {
          this.#vm(spec?.virtualMachine);
          const migration = Migration.create({
            id,
            ...(spec === undefined ? {} : { spec }),
            status: {
              phase: MigrationPhase.MIGRATION_PHASE_PREPARING,
              role: MigrationRole.MIGRATION_ROLE_SOURCE,
              sourceNode: 'node-a',
              destinationNode: spec?.destination?.nodeName ?? '',
              startTime: { seconds: 1_700_000_000n, nanos: 0 },
              transport: 'stream',
            },
          });
          this.migrations.set(id, migration);
          return { migration };
        },
      ),
      getMigration: this.#unary(({ id }: { id: string }) => ({ migration: find(id) })),
      listMigrations: this.#unary(() => ({ migrations: [...this.migrations.values()] })),
      watchMigration: (call: ServerWritableStream<{ id: string }, unknown>) => {
        const known = this.migrations.get(call.request.id);
        if (known === undefined) {
          const missing = new AgentError(
            'MIGRATION_NOT_FOUND',
            'This node knows no such migration',
          );
          call.emit('error', toServiceError(missing));
          return;
        }
        call.write({ migration: known });
        for (const step of this.migrationSteps) {
          const migration = { ...known, status: step.status };
          this.migrations.set(known.id, migration);
          call.write({ migration });
        }
        const phase = this.migrations.get(known.id)?.status?.phase ?? 0;
        if (phase >= MigrationPhase.MIGRATION_PHASE_COMPLETED) call.end();
      },
      cancelMigration: this.#unary(({ id }: { id: string }) => {
        const migration = find(id);
        const cancelled = Migration.create({
          ...migration,
          status: {
            ...migration.status,
            phase: MigrationPhase.MIGRATION_PHASE_CANCELLED,
          },
        });
        this.migrations.set(id, cancelled);
        return { migration: cancelled };
      }),
    };
  }

  #unary<Request, Response>(answer: (request: Request) => Response) {
    return (call: { readonly request: Request }, callback: sendUnaryData<Response>) => {
      if (this.hangs) return;
      try {
        const failure = this.failNext;
        this.failNext = undefined;
        if (failure !== undefined) throw failure;
        callback(null, answer(call.request));
      } catch (error) {
        callback(toServiceError(error));
      }
    };
  }
}

/** By the agent's own edge, so that what the client reads is what agents write. */
function toServiceError(error: unknown): Partial<ServiceError> {
  return toStatus(error, new AbortController().signal, 'request-1');
}
