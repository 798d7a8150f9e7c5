import { type Migration, MigrationPhase } from '../gen/novacron/agent/v1/migration.ts';
import type { AgentClient } from './agent-client.ts';
import { type ResumeOptions, resume } from './resume.ts';

/** Whether a migration has ended. */
function isFinalPhase(phase: MigrationPhase): boolean {
  return (
    phase === MigrationPhase.MIGRATION_PHASE_COMPLETED ||
    phase === MigrationPhase.MIGRATION_PHASE_FAILED ||
    phase === MigrationPhase.MIGRATION_PHASE_CANCELLED
  );
}

/** A migration as it is, then its progress until it has ended, over restarts of the agent. */
export async function* watchMigration(
  client: AgentClient,
  id: string,
  options: ResumeOptions,
): AsyncGenerator<Migration, void, undefined> {
  for await (const migration of resume(() => client.migrations.watch(id, options), options)) {
    yield migration;
    if (migration.status !== undefined && isFinalPhase(migration.status.phase)) return;
  }
}
