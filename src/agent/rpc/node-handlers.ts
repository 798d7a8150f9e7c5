import { fromMachineMessage } from '../../client/resource-messages.ts';
import { toDuration } from '../../client/time.ts';
import { AgentError } from '../../core/errors.ts';
import { manifestName } from '../../core/resources/field-mask.ts';
import { parseMachine } from '../../core/resources/parse-machine.ts';
import {
  type NodeServiceService,
  NodeSpec as NodeSpecMessage,
} from '../../gen/novacron/agent/v1/node.ts';
import type { NodeService, NodeSpec } from '../node/node.ts';
import { kindOf } from '../node/node-operations.ts';
import { MAX_TTL_MS } from '../node/reservation-book.ts';
import { type OperationService, THE_NODE } from '../operations/operation.ts';
import type { ShutdownService } from '../shutdown/node-shutdown.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { changes } from './changes.ts';
import { fromCursor, fromPage, fromRef } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import {
  toNode,
  toNodeShutdown,
  toReservation,
  toUnidentified,
  toWatchNodeResponse,
} from './node-conversion.ts';
import { toOperation } from './operation-conversion.ts';
import { fromBoundedDuration } from './time-conversion.ts';
import { vmFields } from './virtual-machine-conversion.ts';

const DEFAULT_TTL_MS = 60_000;
const MIN_TTL_MS = 1_000;
const SHUTDOWN_TIMEOUT = { minMs: 1_000, maxMs: 3_600_000 } as const;
const MAX_REASON_BYTES = 1_024;
const SPEC_FIELDS: readonly (keyof NodeSpec)[] = ['cordon', 'cordonReason'];

export function nodeHandlers(
  node: NodeService,
  operations: OperationService,
  shutdown: ShutdownService,
): ServiceHandlers<NodeServiceService> {
  const change = changes(operations);
  return {
    async getNode(_request, { signal }) {
      return { node: toNode(await node.get(signal)) };
    },

    async *watchNode(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot watch the node');
      for await (const event of node.watch(cursor, signal)) yield toWatchNodeResponse(event);
    },

    async updateNode(request, context) {
      const checks = new FieldChecks();
      const spec = checks.required('spec', request.spec) ?? NodeSpecMessage.create();
      checks.text('spec.cordonReason', spec.cordonReason, MAX_REASON_BYTES);
      const generation =
        request.generation === undefined
          ? undefined
          : checks.count('generation', request.generation);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot change the node');
      const wanted = masked(spec, (request.updateMask ?? []).map(manifestName));
      context.about({ change: JSON.stringify(wanted) });
      const parameters = { spec: wanted, generation };
      const asked = { kind: kindOf(wanted), vm: THE_NODE, parameters };
      const { operation } = await change(asked, request.operationId, context);
      return { node: toNode(await node.get(context.signal)), operation: toOperation(operation) };
    },

    async acceptUnidentifiedVirtualMachines(_request, context) {
      const { caller, signal } = context;
      const { node: now, accepted } = await node.acceptUnidentified(caller.identity, signal);
      context.about({ accepted: accepted.map(({ hypervisorName }) => hypervisorName).join(',') });
      return { node: toNode(now), accepted: accepted.map(toUnidentified) };
    },

    async shutDownVirtualMachines(request, context) {
      const checks = new FieldChecks();
      const timeoutMs = fromBoundedDuration(request.timeout, 'timeout', SHUTDOWN_TIMEOUT, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot shut down the VMs of the node');
      const { dryRun } = request;
      context.about({ ...(timeoutMs && { timeoutMs }), ...(dryRun && { dryRun: 1 }) });
      const asked = { timeoutMs, dryRun, requestedBy: context.caller.identity };
      const begun = await shutdown.shutDown(asked, context.signal);
      const timeLeft = toDuration(Math.max(0, begun.deadlineMs - Date.now()));
      return { shutdown: toNodeShutdown(begun), timeLeft };
    },

    async abortShutdown(_request, { signal }) {
      await shutdown.abort(signal);
      return { node: toNode(await node.get(signal)) };
    },

    async reserve(request, context) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      const vm = fromRef(request.virtualMachine, 'virtualMachine', checks);
      const message = checks.required('machine', request.machine);
      const ttlMs =
        fromBoundedDuration(request.ttl, 'ttl', { minMs: MIN_TTL_MS, maxMs: MAX_TTL_MS }, checks) ??
        DEFAULT_TTL_MS;
      checks.throwIfAny('INVALID_REQUEST', 'Cannot reserve');
      context.about({ ...vmFields(vm), reservationId: id });
      const machine = parseMachine(message && fromMachineMessage(message));
      const reservation = await node.reserve({ id, vm, machine, ttlMs }, context.signal);
      return { reservation: toReservation(reservation) };
    },

    async release(request, context) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which reservation is meant');
      context.about({ reservationId: id });
      await node.release(id, context.signal);
      return {};
    },

    async listReservations(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot list reservations');
      const list = await node.listReservations(page, signal);
      return { reservations: list.items.map(toReservation), nextPageToken: list.nextToken };
    },
  };
}

function masked(spec: NodeSpecMessage, mask: readonly string[]): Partial<NodeSpec> {
  if (mask.length === 0) return { cordon: spec.cordon, cordonReason: spec.cordonReason };
  const unknown = mask.find((path) => !SPEC_FIELDS.some((field) => field === path));
  if (unknown !== undefined) {
    throw new AgentError(
      'INVALID_REQUEST',
      `Cannot change the field ${JSON.stringify(unknown)} of the node: there are ${SPEC_FIELDS.join(' and ')}`,
      { violations: [{ field: 'updateMask', description: `names the unknown field ${unknown}` }] },
    );
  }
  return Object.fromEntries(mask.map((path) => [path, spec[path as keyof NodeSpec]]));
}
