import { AgentError } from '../../core/errors.ts';
import type { OperationWork, StepResult } from '../operations/operation-work.ts';
import type { MigrationBook } from './migration-book.ts';
import { isFinal } from './states.ts';

/** The end of a migration is seen at once by its VM going; this is for one that stays, and for how far it has come. */
const LOOK_AGAIN_MS = 1_000;

/** The operation of a migration has its id, and ends as it does; the migration itself needs nobody to bring it about. */
export function migrationOperation(book: Pick<MigrationBook, 'get'>): OperationWork {
  return {
    firstStep: 'migrating',
    admit: () => Promise.reject(new Error('A migration is begun by MigrationManager')),
    isOver: (id) => isFinal(book.get(id).phase),
    async step({ id }): Promise<StepResult> {
      const { phase, reason, message, progress } = book.get(id);
      if (!isFinal(phase)) {
        const { fractionDone } = progress;
        return {
          isDone: false,
          step: phase,
          progress: { fractionDone, message, waitedMs: undefined, leftMs: undefined },
          again: { afterMs: LOOK_AGAIN_MS },
        };
      }
      if (phase === 'completed') return { isDone: true };
      throw new AgentError(reason ?? 'MIGRATION_FAILED', message, {
        metadata: { migrationId: id },
      });
    },
  };
}
