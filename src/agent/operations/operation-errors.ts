import { AgentError, hasReason } from '../../core/errors.ts';
import { operationSuperseded } from '../../core/operation-failure.ts';
import { type Operation, type OperationError, vmIdOf } from './operation.ts';

/** A failure as it is kept. Of what is unexpected only the log has the words. */
export function toOperationError(error: unknown): OperationError {
  if (!(error instanceof AgentError)) {
    const message = 'The agent failed unexpectedly; its log has the rest';
    return { reason: 'INTERNAL', message, metadata: {}, violations: [] };
  }
  const { reason, message, metadata, violations } = error;
  return { reason, message, metadata, violations };
}

/** What a caller is told of an operation that has not succeeded. */
export function failureOf(operation: Operation): AgentError {
  const { id, state, error, supersededBy } = operation;
  if (state === 'superseded') return operationSuperseded(id, supersededBy, vmIdOf(operation));
  if (error === undefined) throw new Error(`Operation ${id} has not failed: it is ${state}`);
  const { reason, message, violations } = error;
  return new AgentError(reason, message, {
    metadata: { ...error.metadata, operationId: id },
    violations,
  });
}

export function cancelled(id: string): OperationError {
  const message = `Operation ${id} was cancelled`;
  return { reason: 'OPERATION_CANCELLED', message, metadata: { operationId: id }, violations: [] };
}

export function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

/** Whether a failure ends by itself, so that the step is worth trying again. */
export function passes(error: unknown): boolean {
  if (error instanceof AgentError && error.metadata['retryable'] === 'false') return false;
  return (
    isTimeout(error) ||
    hasReason(
      error,
      'HYPERVISOR_UNREACHABLE',
      'HYPERVISOR_TIMEOUT',
      'STATE_NOT_READY',
      'VM_BUSY',
      'STORAGE_FULL',
      'JOURNAL_FAILURE',
    )
  );
}
