import { AgentError } from './errors.ts';

/** Why an operation has ended whose place another one has taken: what the agent says, and what its clients do. */
export function operationSuperseded(
  operationId: string,
  supersededBy: string,
  metadata: Readonly<Record<string, string>> = {},
): AgentError {
  return new AgentError(
    'OPERATION_SUPERSEDED',
    `Operation ${operationId} was superseded by operation ${supersededBy}, which was asked for later`,
    { metadata: { ...metadata, operationId, supersededBy } },
  );
}
