import { AgentError } from '../../core/errors.ts';

/**
 * Somebody's word that the other node of a migration is off for good. It is weighed by whoever looks at both nodes, between a
 * look and what would be done upon that, so that nothing is done upon a look that is older than the word.
 */
export interface OffWord {
  readonly saidBy: string;
  readonly accept: () => void;
  readonly refuse: (error: AgentError) => void;
}

/** Why a migration is not settled by anybody's word. */
export function notWaiting(id: string, why: string): AgentError {
  return new AgentError('MIGRATION_NOT_WAITING', `Cannot settle migration ${id}: ${why}`, {
    metadata: { migrationId: id },
  });
}

/** What whoever waits for a node can do that is off for good. */
export function settleCommand(id: string, offNode: string): string {
  return `novactl migration settle ${id} --node-is-off ${offNode}`;
}
