import { isDeepStrictEqual } from 'node:util';
import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { HostFacts } from '../../drivers/host.ts';
import type { HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import type { HypervisorHost, HypervisorInfo } from '../../drivers/hypervisor-host.ts';
import type { ControllerState } from '../reconcile/reconciler.ts';
import { pageOf } from '../reports/paging.ts';
import type {
  Origins,
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import type { NodeShutdown } from '../shutdown/node-shutdown.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import { listDown } from '../vms/down-vms.ts';
import type { Vm, VmRef } from '../vms/vm.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import { isOff } from '../vms/vm-phase.ts';
import { amountsOf } from './amounts.ts';
import type { CapacityLedger } from './capacity-ledger.ts';
import type { CertificateReport } from './certificate-report.ts';
import type { Cordon } from './cordon.ts';
import type {
  AcceptResult,
  Amounts,
  Node,
  NodeService,
  Reservation,
  ReserveRequest,
} from './node.ts';
import type { NodeAccelerator } from './node-accelerator.ts';
import { type Connection, nodeConditions } from './node-conditions.ts';
import type { ReservationBook } from './reservation-book.ts';
import type { StorageReport } from './storage-health.ts';

export interface NodeManagerOptions {
  readonly identity: Pick<
    Node,
    'name' | 'agentVersion' | 'peerProtocolMin' | 'peerProtocolMax' | 'advertiseAddress'
  >;
  readonly capacity: CapacityLedger;
  readonly reservations: ReservationBook;
  readonly cordon: Cordon;
  readonly nodeShutdown: Pick<ShutdownMark, 'assertNotGoingDown'>;
  /** What becomes of the VMs while the host is about to go down; undefined while it is not. Must cost nothing. */
  readonly shutdown: () => NodeShutdown | undefined;
  /** Knows what new VMs run on. */
  readonly accelerator: Pick<NodeAccelerator, 'state'>;
  readonly host: HostFacts;
  readonly hypervisor: { readonly host: HypervisorHost; readonly events: HypervisorEvents };
  readonly origins: Origins;
  /** The VMs as last listed; undefined until they were. Must cost nothing. */
  readonly listVms: () => readonly Vm[] | undefined;
  /** Knows what cannot be told of VMs. */
  readonly inventory: Pick<
    VmInventory,
    'unread' | 'listForeign' | 'findObstacle' | 'acceptUnidentified'
  >;
  readonly storageHealth: () => StorageReport;
  /** Undefined where the node is alone. Must cost nothing. */
  readonly certificate: () => CertificateReport | undefined;
  /** How what keeps VMs as they should be fares. Must cost nothing. */
  readonly controllers: () => readonly ControllerState[];
  readonly log: Logger;
  readonly now?: () => number;
}

// Finds what nobody tells of: VMs that came and went, a full disk, a hypervisor that is back.
const REVIEW_INTERVAL_MS = 2_000;

/** Keeps what is known about this node, from memory: a call never waits for the hypervisor. */
export class NodeManager implements NodeService {
  readonly #options: NodeManagerOptions;
  readonly #now: () => number;
  readonly #startedAtMs: number;
  /** Of one: this node. */
  readonly #nodes: WatchedSet<Node>;
  #info: HypervisorInfo | undefined;
  #connection: Connection = { state: 'unknown', message: '' };

  constructor(options: NodeManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#startedAtMs = this.#now();
    this.#nodes = new WatchedSet(options.origins);
    this.#nodes.put(options.identity.name, this.#describe([], options.origins.current()));
  }

  get connected(): boolean {
    return this.#connection.state === 'connected';
  }

  /** Follows the hypervisor until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#followConnection(signal), this.#reviewRepeatedly(signal)]);
  }

  async get(signal: AbortSignal): Promise<Node> {
    signal.throwIfAborted();
    return this.review();
  }

  watch(
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Node>, void, undefined> {
    this.review();
    return this.#nodes.watch(() => true, cursor, signal);
  }

  async acceptUnidentified(acceptedBy: string): Promise<AcceptResult> {
    const accepted = await this.#options.inventory.acceptUnidentified(acceptedBy);
    return { node: this.review(), accepted };
  }

  async reserve({ id, vm, machine, ttlMs }: ReserveRequest): Promise<Reservation> {
    const amounts = amountsOf(machine);
    const reservation = await this.#options.reservations.add({ id, vm, amounts, ttlMs }, () =>
      this.#assertMayReserve(id, vm, amounts),
    );
    this.review();
    return reservation;
  }

  async release(id: string): Promise<void> {
    await this.#options.reservations.remove(id);
    this.review();
  }

  async listReservations(page: PageRequest): Promise<Page<Reservation>> {
    const { reservations, origins } = this.#options;
    return pageOf(reservations.list(), page, {
      keyOf: ({ id }) => id,
      isAfter: (id, other) => id > other,
      filter: 'reservations',
      origin: origins.current(),
    });
  }

  /** Looks at all that makes up the node and tells watchers if something has changed. */
  review(): Node {
    const { name } = this.#options.identity;
    const before = this.#nodes.get(name);
    const origin = before?.origin ?? this.#options.origins.current();
    const node = this.#describe(before?.conditions ?? [], origin);
    if (!isDeepStrictEqual({ ...node, controllers: before?.controllers }, before)) {
      return this.#nodes.put(name, node);
    }
    this.#nodes.replaceQuietly(name, node);
    return node;
  }

  #assertMayReserve(id: string, { namespace, name, uid }: VmRef, amounts: Amounts): void {
    const { cordon, nodeShutdown, capacity, listVms } = this.#options;
    const vms = listVms();
    // What is not known to be taken is not free.
    if (vms === undefined) {
      throw new AgentError(
        'STATE_NOT_READY',
        'Cannot reserve yet: the VMs have not been listed since the agent started; check that libvirt runs',
        { retryAfterMs: 1_000 },
      );
    }
    nodeShutdown.assertNotGoingDown(`Cannot reserve for VM ${name}`);
    cordon.assertNotCordoned(`a reservation for VM ${name}`);
    const isSame = (other: VmRef): boolean =>
      other.uid === uid || (other.namespace === namespace && other.name === name);
    const here = vms.find(({ definition }) => isSame(definition));
    if (here !== undefined) {
      throw new AgentError(
        'VM_ALREADY_EXISTS',
        `Cannot reserve for VM ${name}: there is VM ${here.definition.name} with that name or uid already`,
        { metadata: { vmId: here.definition.uid } },
      );
    }
    if (capacity.findHolding(namespace, name) !== undefined) {
      throw new AgentError(
        'VM_BUSY',
        `Cannot reserve for VM ${name}: a VM of that name is being created or is arriving; try again when that has ended`,
        { retryAfterMs: 1_000 },
      );
    }
    capacity.assertRoom({ vmUid: uid ?? id, namespace, name, amounts });
  }

  async #followConnection(signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.hypervisor.events.watch(signal)) {
      if (event.kind === 'connected') await this.#readInfo(signal);
      if (event.kind === 'disconnected') this.#disconnected(event.error);
    }
  }

  async #reviewRepeatedly(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (!this.connected) await this.#readInfo(signal);
      this.review();
      await delay(REVIEW_INTERVAL_MS, signal);
    }
  }

  async #readInfo(signal: AbortSignal): Promise<void> {
    try {
      const info = await this.#options.hypervisor.host.getInfo(signal);
      this.#info = info;
      if (!this.connected) {
        const { uri, hostUuid, libvirtVersion } = info;
        this.#options.log.info({ uri, hostUuid, libvirtVersion }, 'Hypervisor is connected');
      }
      this.#connection = { state: 'connected', message: '' };
      this.review();
    } catch (error) {
      signal.throwIfAborted();
      this.#disconnected(error);
    }
  }

  #disconnected(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.#connection.state !== 'disconnected') {
      this.#options.log.warn({ problem: message }, 'Hypervisor is not connected');
    }
    this.#connection = { state: 'disconnected', message };
    this.review();
  }

  #describe(conditions: Node['conditions'], origin: ReportOrigin): Node {
    const { identity, capacity, cordon, host, listVms, inventory, storageHealth, certificate } =
      this.#options;
    const vms = listVms();
    const unidentifiedVms = inventory.unread.listUnidentified();
    const active = vms?.filter((vm) => !isOff(vm)) ?? [];
    const connection = this.#connection;
    const shutdown = this.#options.shutdown();
    const accelerator = this.#options.accelerator.state;
    const allocated = capacity.allocated();
    const foreign = capacity.foreign();
    return {
      ...identity,
      uid: this.#info?.hostUuid ?? '',
      spec: cordon.spec,
      generation: cordon.generation,
      hypervisorConnected: connection.state === 'connected',
      hypervisor: this.#info,
      accelerator: accelerator.accelerator,
      operatingSystem: {
        prettyName: host.operatingSystem(),
        kernelRelease: host.kernelRelease,
        hostname: host.hostname,
      },
      capacity: capacity.capacity,
      allocatable: capacity.allocatable,
      allocated,
      foreign,
      conditions: nodeConditions(
        {
          connection,
          vmsObstacle: inventory.findObstacle(),
          unreadVms: inventory.unread.list(),
          unidentifiedVms,
          foreignVms: inventory.listForeign(),
          downVms: listDown(vms ?? []),
          memory: capacity.memoryOf(allocated, foreign),
          accelerator,
          storage: storageHealth(),
          certificate: certificate(),
          spec: cordon.spec,
          generation: cordon.generation,
          shutdown,
        },
        conditions,
        this.#now(),
      ),
      shutdown,
      runningVms: active.filter(({ phase }) => phase !== 'pending' && phase !== 'unknown').length,
      unidentifiedVms,
      controllers: this.#options.controllers(),
      agentStartedAtMs: this.#startedAtMs,
      origin,
    };
  }
}
