import { AgentError, isReason } from '../core/errors.ts';
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
    return new AgentError(
      'OPERATION_SUPERSEDED',
      `Operation ${id} has given way to operation ${supersededBy}, which was asked for later`,
      { metadata: { operationId: id, supersededBy } },
    );
  }
  const { reason, message, metadata, violations } = error ?? {
    reason: 'INTERNAL',
    message: `The agent does not say why operation ${id} has not succeeded`,
    metadata: {},
    violations: [],
  };
  const about = { ...metadata, operationId: id };
  if (reason === 'OPERATION_CANCELLED') {
    return new AgentError(reason, `Operation ${id} was cancelled`, { metadata: about });
  }
  if (isReason(reason)) return new AgentError(reason, message, { metadata: about, violations });
  // Of a newer agent: shown as it came.
  return new AgentError('INTERNAL', message, {
    metadata: { ...about, reason, grpcStatus: 'UNKNOWN' },
  });
}
