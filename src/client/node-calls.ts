import type { WatchCursor } from '../gen/novacron/agent/v1/common.ts';
import {
  AbortShutdownRequest,
  AcceptUnidentifiedVirtualMachinesRequest,
  type AcceptUnidentifiedVirtualMachinesResponse,
  type DeepPartial,
  GetNodeRequest,
  ListReservationsRequest,
  type Node,
  NodeServiceService,
  type NodeShutdown,
  type NodeSpec,
  ReleaseRequest,
  type Reservation,
  ReserveRequest,
  ShutDownVirtualMachinesRequest,
  UpdateNodeRequest,
  type UpdateNodeResponse,
  WatchNodeRequest,
} from '../gen/novacron/agent/v1/node.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { allPages } from './pages.ts';
import { required } from './required.ts';
import { durationMs, toDuration } from './time.ts';
import type { ChangeOptions } from './vm-calls.ts';
import type { WatchMessage } from './watch.ts';

/** The calls of NodeService. */
export class NodeCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async get(options: CallOptions): Promise<Node> {
    const request = GetNodeRequest.create();
    const response = await this.#connection.unary(NodeServiceService.getNode, request, options);
    return required(response.node, 'node');
  }

  /** One watch, as the agent serves it; `watchNode` goes on after a lost connection. */
  async *watch(
    { cursor }: { readonly cursor: WatchCursor | undefined },
    options: StreamOptions,
  ): AsyncGenerator<WatchMessage<Node>, void, undefined> {
    const request = WatchNodeRequest.create();
    for await (const { type, node, origin } of this.#connection.stream(
      NodeServiceService.watchNode,
      { ...request, cursor },
      options,
    )) {
      yield { type, object: node, origin };
    }
  }

  /** Changes the given fields of what the node should be, at least one. */
  async update(
    change: Partial<NodeSpec>,
    options: ChangeOptions & { readonly generation?: bigint | undefined },
  ): Promise<UpdateNodeResponse> {
    const { generation, operationId = '' } = options;
    const request = UpdateNodeRequest.create({ spec: change, operationId });
    // An empty mask would mean all fields.
    request.updateMask = Object.keys(change);
    if (request.updateMask.length === 0) throw new Error('Nothing of the node is to be changed');
    request.generation = generation;
    return await this.#connection.unary(NodeServiceService.updateNode, request, options);
  }

  /** Has the agent go on without knowing whose some VMs are, which it returns. */
  async acceptUnidentified(options: CallOptions): Promise<{
    readonly node: Node;
    readonly accepted: AcceptUnidentifiedVirtualMachinesResponse['accepted'];
  }> {
    const { node, accepted } = await this.#connection.unary(
      NodeServiceService.acceptUnidentifiedVirtualMachines,
      AcceptUnidentifiedVirtualMachinesRequest.create(),
      options,
    );
    return { node: required(node, 'node'), accepted };
  }

  /** Powers off the VMs as the host is about to go down; answers as soon as that has begun, with the time that guests have. */
  async shutDownVms(
    options: CallOptions & { readonly timeoutMs?: number | undefined; readonly dryRun?: boolean },
  ): Promise<{ readonly shutdown: NodeShutdown; readonly leftMs: number }> {
    const { timeoutMs, dryRun = false } = options;
    const request = ShutDownVirtualMachinesRequest.create({ dryRun });
    if (timeoutMs !== undefined) request.timeout = toDuration(timeoutMs);
    const { shutDownVirtualMachines } = NodeServiceService;
    const response = await this.#connection.unary(shutDownVirtualMachines, request, options);
    const { shutdown, timeLeft } = response;
    const leftMs = timeLeft === undefined ? 0 : durationMs(timeLeft);
    return { shutdown: required(shutdown, 'shutdown'), leftMs };
  }

  /** The host stays up after all. */
  async abortShutdown(options: CallOptions): Promise<Node> {
    const response = await this.#connection.unary(
      NodeServiceService.abortShutdown,
      AbortShutdownRequest.create(),
      options,
    );
    return required(response.node, 'node');
  }

  /** Keeps an amount of the node free for a VM; `id` is a UUID of the caller's choice. */
  async reserve(request: DeepPartial<ReserveRequest>, options: CallOptions): Promise<Reservation> {
    const response = await this.#connection.unary(
      NodeServiceService.reserve,
      ReserveRequest.create(request),
      options,
    );
    return required(response.reservation, 'reservation');
  }

  /** One that is gone counts as released. */
  async release(id: string, options: CallOptions): Promise<void> {
    await this.#connection.unary(
      NodeServiceService.release,
      ReleaseRequest.create({ id }),
      options,
    );
  }

  /** All of them, sorted by id. */
  async listReservations(options: CallOptions): Promise<readonly Reservation[]> {
    const pages = allPages((part) =>
      this.#connection.unary(
        NodeServiceService.listReservations,
        ListReservationsRequest.create(part),
        options,
      ),
    );
    return (await Array.fromAsync(pages)).flatMap(({ reservations }) => reservations);
  }
}
