import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import type { VirtualMachineRef } from '../../src/gen/novacron/agent/v1/common.ts';
import {
  type GetOperationRequest,
  type ListOperationsRequest,
  Operation,
  type OperationKind,
  OperationState,
  type WatchOperationsRequest,
  type WatchOperationsResponse,
} from '../../src/gen/novacron/agent/v1/operation.ts';
import type { FakeAgentServer } from './fake-agent-server.ts';

const NOW = { seconds: 1_700_000_000n, nanos: 0 };
const { OPERATION_STATE_PENDING, OPERATION_STATE_RUNNING, OPERATION_STATE_SUCCEEDED } =
  OperationState;

/** Records an operation of a fake agent: it has succeeded, or waits for the agent's `operationSteps`. */
export function beginOperation(
  agent: FakeAgentServer,
  kind: OperationKind,
  virtualMachine: VirtualMachineRef | undefined,
  { id = '', result = '' } = {},
): Operation {
  const isDone = agent.operationSteps.length === 0;
  const key = id === '' ? `operation-${agent.operations.size + 1}` : id;
  return agent.operations.put(key, (origin) => ({
    ...Operation.create({ id: key, kind, requestedBy: 'unix:root', result }),
    virtualMachine,
    requestTime: NOW,
    state: isDone ? OPERATION_STATE_SUCCEEDED : OPERATION_STATE_PENDING,
    startTime: isDone ? NOW : undefined,
    endTime: isDone ? NOW : undefined,
    origin,
  }));
}

/** OperationService of a fake agent. */
export function operationMethods(agent: FakeAgentServer) {
  const find = (id: string): Operation => {
    const operation = agent.operations.get(id);
    if (operation !== undefined) return operation;
    throw new AgentError('OPERATION_NOT_FOUND', `There is no operation ${id} on this node`);
  };
  const move = (id: string, change: Partial<Operation>): Operation =>
    agent.operations.put(id, (origin) => {
      const { state = OPERATION_STATE_RUNNING } = change;
      const endTime = isOver(state) ? NOW : undefined;
      return { ...find(id), startTime: NOW, endTime, ...change, state, origin };
    });

  return {
    getOperation: agent.answer(({ id }: GetOperationRequest) => ({ operation: find(id) })),

    listOperations: agent.answer((request: ListOperationsRequest) => {
      const matches = (operation: Operation) =>
        isOf(operation, request) && !(request.activeOnly && isOver(operation.state));
      const page = agent.operations.page(matches, request.pageSize, request.pageToken);
      return { ...page, operations: page.items };
    }),

    watchOperations: agent.stream(
      (call: ServerWritableStream<WatchOperationsRequest, WatchOperationsResponse>) => {
        const { id } = call.request;
        if (id !== '') find(id);
        agent.operations.watch(
          call,
          (operation) =>
            !agent.forgottenOperations.has(operation.id) &&
            (id === '' || operation.id === id) &&
            isOf(operation, call.request),
          ({ object, ...event }) => ({ ...event, operation: object }),
        );
        if (id !== '') for (const step of agent.operationSteps) move(id, step);
      },
    ),

    cancelOperation: agent.answer(({ id }: GetOperationRequest) => {
      const operation = find(id);
      if (isOver(operation.state)) return { operation };
      const error = {
        reason: 'OPERATION_CANCELLED',
        message: 'Cancelled',
        metadata: {},
        violations: [],
      };
      return { operation: move(id, { state: OperationState.OPERATION_STATE_CANCELLED, error }) };
    }),
  };
}

function isOver(state: OperationState): boolean {
  return state >= OPERATION_STATE_SUCCEEDED;
}

function isOf(
  { virtualMachine }: Operation,
  { virtualMachine: wanted, namespace }: ListOperationsRequest | WatchOperationsRequest,
): boolean {
  if (wanted === undefined) return namespace === '' || virtualMachine?.namespace === namespace;
  return (
    virtualMachine?.name === wanted.name &&
    virtualMachine.namespace === (wanted.namespace || 'default')
  );
}
