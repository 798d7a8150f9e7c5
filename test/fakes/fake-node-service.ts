import type {
  AcceptResult,
  Node,
  NodeService,
  NodeSpec,
  Reservation,
  ReserveRequest,
} from '../../src/agent/node/node.ts';
import type { Page, PageRequest, WatchCursor, WatchEvent } from '../../src/agent/reports/report.ts';
import { ReportOriginSource } from '../../src/agent/reports/report-origin-source.ts';
import { WatchedSet } from '../../src/agent/reports/watched-set.ts';
import { AgentError } from '../../src/core/errors.ts';
import { NODE_BOOT, ORIGIN, VM_UID } from './fake-vm-service.ts';

export const NODE: Node = {
  name: 'node-a',
  uid: '',
  agentVersion: '0.1.0',
  peerProtocolMin: 1,
  peerProtocolMax: 1,
  advertiseAddress: '10.0.0.1:7443',
  hypervisorConnected: false,
  hypervisor: undefined,
  accelerator: 'tcg',
  operatingSystem: { prettyName: 'Debian', kernelRelease: '6.1', hostname: 'a' },
  spec: { cordon: false, cordonReason: '' },
  generation: 1,
  capacity: { cpu: 4_000, memory: 8 * 1024 ** 3, 'hugepages-2Mi': 0 },
  allocatable: { cpu: 3_500, memory: 7 * 1024 ** 3, 'hugepages-2Mi': 0 },
  allocated: { cpu: 1_000, memory: 1024 ** 3, 'hugepages-2Mi': 0 },
  conditions: [],
  shutdown: undefined,
  runningVms: 1,
  foreign: {},
  unidentifiedVms: [],
  controllers: [
    {
      name: 'run-strategies',
      depth: 1,
      waiting: 2,
      oldestAgeMs: 1_500,
      failing: 2,
      retries: 7,
      lastError: 'Cannot start VM web',
    },
  ],
  agentStartedAtMs: 1_790_000_000_000,
  origin: ORIGIN,
};

/** A node that can be cordoned and that reserves whatever it is asked to, and remembers what that was. */
export class FakeNodeService implements NodeService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  readonly #nodes = new WatchedSet<Node>(
    new ReportOriginSource({ ...NODE_BOOT, agentEpoch: ORIGIN.agentEpoch }),
  );
  readonly #reservations = new Map<string, Reservation>();
  #node = this.#nodes.put(NODE.name, NODE);

  async get(): Promise<Node> {
    return this.#node;
  }

  watch(
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Node>, void, undefined> {
    return this.#nodes.watch(() => true, cursor, signal);
  }

  /** Together the part of Cordon that changes the node. */
  assertGeneration(generation: number | undefined): void {
    if (generation === undefined || generation === this.#node.generation) return;
    throw new AgentError('GENERATION_MISMATCH', `The node has generation ${this.#node.generation}`);
  }

  has(): boolean {
    return false;
  }

  async update(change: Partial<NodeSpec>, generation: number | undefined): Promise<void> {
    this.calls.push({ method: 'update', argument: { change, generation } });
    this.assertGeneration(generation);
    const spec = { ...this.#node.spec, ...change };
    const changed = { ...this.#node, spec, generation: this.#node.generation + 1 };
    this.#node = this.#nodes.put(NODE.name, changed);
  }

  async acceptUnidentified(acceptedBy: string): Promise<AcceptResult> {
    this.calls.push({ method: 'acceptUnidentified', argument: acceptedBy });
    return { node: this.#node, accepted: [{ hypervisorName: 'default_web', uid: VM_UID }] };
  }

  async reserve(request: ReserveRequest): Promise<Reservation> {
    this.calls.push({ method: 'reserve', argument: request });
    const { id, vm, ttlMs } = request;
    const amounts = { cpu: 1_500, memory: 600 * 1024 ** 2 };
    const reservation = { id, vm, amounts, expiresAtMs: 1_790_000_000_000 + ttlMs };
    this.#reservations.set(id, reservation);
    return reservation;
  }

  async release(id: string): Promise<void> {
    this.#reservations.delete(id);
  }

  async listReservations(page: PageRequest): Promise<Page<Reservation>> {
    this.calls.push({ method: 'listReservations', argument: page });
    return { items: [...this.#reservations.values()], nextToken: 'more', origin: ORIGIN };
  }
}
