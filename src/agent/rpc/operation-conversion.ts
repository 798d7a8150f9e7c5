import {
  OperationKind as Kind,
  type Operation as OperationMessage,
  type OperationProgress as OperationProgressMessage,
  OperationState as State,
  type WatchOperationsResponse,
} from '../../gen/novacron/agent/v1/operation.ts';
import {
  isOfNode,
  type Operation,
  type OperationKind,
  type OperationProgress,
  type OperationState,
} from '../operations/operation.ts';
import type { WatchEvent } from '../reports/report.ts';
import { toEventType, toOrigin, toRef } from './common-conversion.ts';
import { optionalDuration } from './figure-conversion.ts';
import { toRequest } from './operation-request.ts';
import { toTimestamp } from './time-conversion.ts';

const KIND = {
  create: Kind.OPERATION_KIND_CREATE,
  apply: Kind.OPERATION_KIND_APPLY,
  adopt: Kind.OPERATION_KIND_ADOPT,
  start: Kind.OPERATION_KIND_START,
  shutdown: Kind.OPERATION_KIND_SHUTDOWN,
  destroy: Kind.OPERATION_KIND_DESTROY,
  suspend: Kind.OPERATION_KIND_SUSPEND,
  resume: Kind.OPERATION_KIND_RESUME,
  reset: Kind.OPERATION_KIND_RESET,
  reboot: Kind.OPERATION_KIND_REBOOT,
  restart: Kind.OPERATION_KIND_RESTART,
  eject: Kind.OPERATION_KIND_EJECT,
  insert: Kind.OPERATION_KIND_INSERT,
  delete: Kind.OPERATION_KIND_DELETE,
  migrate: Kind.OPERATION_KIND_MIGRATE,
  cordon: Kind.OPERATION_KIND_CORDON,
  uncordon: Kind.OPERATION_KIND_UNCORDON,
} as const satisfies Record<OperationKind, Kind>;

const STATE = {
  pending: State.OPERATION_STATE_PENDING,
  running: State.OPERATION_STATE_RUNNING,
  succeeded: State.OPERATION_STATE_SUCCEEDED,
  failed: State.OPERATION_STATE_FAILED,
  cancelled: State.OPERATION_STATE_CANCELLED,
  superseded: State.OPERATION_STATE_SUPERSEDED,
} as const satisfies Record<OperationState, State>;

export function toOperation(operation: Operation): OperationMessage {
  const { startedAtMs, endedAtMs, error } = operation;
  return {
    id: operation.id,
    kind: KIND[operation.kind],
    virtualMachine: isOfNode(operation.kind) ? undefined : toRef(operation.vm),
    request: toRequest(operation),
    progress: operation.progress && toProgress(operation.progress),
    requestedBy: operation.requestedBy,
    requestTime: toTimestamp(operation.requestedAtMs),
    startTime: startedAtMs === undefined ? undefined : toTimestamp(startedAtMs),
    endTime: endedAtMs === undefined ? undefined : toTimestamp(endedAtMs),
    state: STATE[operation.state],
    step: operation.step,
    result: operation.result,
    warnings: [...operation.warnings],
    error: error && {
      reason: error.reason,
      message: error.message,
      metadata: { ...error.metadata },
      violations: error.violations.map((violation) => ({ ...violation })),
    },
    supersededBy: operation.supersededBy,
    origin: toOrigin(operation.origin),
  };
}

function toProgress(progress: OperationProgress): OperationProgressMessage {
  const { fractionDone, message, waitedMs, leftMs } = progress;
  const waited = optionalDuration(waitedMs);
  return { fractionDone, message, waited, timeLeft: optionalDuration(leftMs) };
}

export function toWatchOperationsResponse(event: WatchEvent<Operation>): WatchOperationsResponse {
  return {
    type: toEventType(event.type),
    operation: 'object' in event ? toOperation(event.object) : undefined,
    origin: toOrigin(event.origin),
  };
}
