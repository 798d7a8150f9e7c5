import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import {
  type ListReservationsRequest,
  type Node,
  NodeSpec,
  type ReleaseRequest,
  Reservation,
  type ReserveRequest,
  type UpdateNodeRequest,
  type WatchNodeRequest,
  type WatchNodeResponse,
} from '../../src/gen/novacron/agent/v1/node.ts';
import { OperationKind } from '../../src/gen/novacron/agent/v1/operation.ts';
import type { FakeAgentServer } from './fake-agent-server.ts';
import { beginOperation } from './fake-operation-methods.ts';

/** NodeService of a fake agent. */
export function nodeMethods(agent: FakeAgentServer) {
  const reservations = new Map<string, Reservation>();
  const find = (): Node => {
    const node = agent.nodes.get('node-a');
    if (node !== undefined) return node;
    throw new Error('A fake agent always has its node');
  };

  return {
    getNode: agent.answer(() => ({ node: find() })),

    watchNode: agent.stream((call: ServerWritableStream<WatchNodeRequest, WatchNodeResponse>) =>
      agent.nodes.watch(
        call,
        () => true,
        ({ object, ...event }) => ({ ...event, node: object }),
      ),
    ),

    updateNode: agent.answer((request: UpdateNodeRequest) => {
      const { spec, updateMask, generation, operationId: id } = request;
      const before = find();
      const current = before.metadata?.generation ?? 0n;
      if (generation !== undefined && generation !== current) {
        throw new AgentError('GENERATION_MISMATCH', `The node has generation ${current}`);
      }
      const fields = updateMask?.length ? updateMask : ['cordon', 'cordonReason'];
      const chosen = Object.entries(spec ?? {}).filter(([field]) => fields.includes(field));
      const changed = NodeSpec.create({ ...before.spec, ...Object.fromEntries(chosen) });
      const metadata = before.metadata && { ...before.metadata, generation: current + 1n };
      const kind = OperationKind[`OPERATION_KIND_${changed.cordon ? 'CORDON' : 'UNCORDON'}`];
      const operation = beginOperation(agent, kind, undefined, { id });
      const node = agent.nodes.put('node-a', () => ({ ...before, metadata, spec: changed }));
      return { node, operation };
    }),

    acceptUnidentifiedVirtualMachines: agent.answer(() => {
      const node = find();
      return { node, accepted: node.status?.unidentifiedVirtualMachines ?? [] };
    }),

    reserve: agent.answer(({ id, virtualMachine, machine }: ReserveRequest) => {
      const { cpu = '', memory = '' } = machine?.resources ?? {};
      const reservation = Reservation.create({
        id,
        ...(virtualMachine === undefined ? {} : { virtualMachine }),
        amounts: { cpu, memory },
      });
      reservations.set(id, reservation);
      return { reservation };
    }),

    release: agent.answer(({ id }: ReleaseRequest) => {
      reservations.delete(id);
      return {};
    }),

    // A page for each, to see that the client asks for all.
    listReservations: agent.answer(({ pageToken }: ListReservationsRequest) => {
      const kept = [...reservations.values()];
      const at = Number(pageToken);
      return {
        reservations: kept.slice(at, at + 1),
        nextPageToken: at + 1 < kept.length ? String(at + 1) : '',
      };
    }),
  };
}
