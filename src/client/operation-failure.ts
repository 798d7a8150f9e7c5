import { AgentError, isReason } from '../core/errors.ts';
import { operationSuperseded } from '../core/operation-failure.ts';
import { type Operation, OperationState } from '../gen/novacron/agent/v1/operation.ts';

/** Why an operation that has ended has not succeeded; undefined if it has. */
export function operationFailure({
  id,
  state,
  error,
  supersededBy,
}: Operation): AgentError | undefined {
  if (state === OperationState.OPERATION_STATE_SUCCEEDED) return undefined;
  if (state === OperationState.OPERATION_STATE_SUPERSEDED) {
    return operationSuperseded(id, supersededBy);
  }
  const { reason, message, metadata, violations } = error ?? {
    reason: 'INTERNAL',
    message: `The agent does not say why operation ${id} has not succeeded`,
    metadata: {},
    violations: [],
  };
  const about = { ...metadata, operationId: id };
  if (isReason(reason)) return new AgentError(reason, message, { metadata: about, violations });
  // Of a newer agent: shown as it came.
  return new AgentError('INTERNAL', message, {
    metadata: { ...about, reason, grpcStatus: 'UNKNOWN' },
  });
}
