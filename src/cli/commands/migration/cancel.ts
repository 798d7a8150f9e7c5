import type { Command } from 'commander';
import { type Migration, MigrationPhase } from '../../../client/api.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addMigrationCancelCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('cancel')
    .summary('stop a migration')
    .description(
      'Stops a migration; the VM stays where it is. After the switchover it is too late.',
    )
    .argument('<id>', 'id of the migration', uuidArgument);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration cancel 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
`,
  );
  command.action(async (id: string, options: OutputOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { migrationPhaseWord, migrationView } = await import('../../views/migration-view.ts');
    const { repeatCall } = await import('../../progress/repeat-call.ts');
    await withAgent(io, command, async (client, call) => {
      const migration = await repeatCall(io, command, () => client.migrations.cancel(id, call));
      if (options.output === 'table') {
        io.stdout.write(`Migration ${id} ${lineOf(migration, migrationPhaseWord)}\n`);
      } else {
        await printItem(io, options.output, migrationView(Date.now()), migration);
      }
    });
  });
}

/** Asking again is fine, but nothing comes of it once it has ended. */
function lineOf({ status }: Migration, wordOf: (phase: MigrationPhase) => string): string {
  const { phase = MigrationPhase.MIGRATION_PHASE_UNSPECIFIED, message = '' } = status ?? {};
  switch (phase) {
    case MigrationPhase.MIGRATION_PHASE_CANCELLED:
      return 'was cancelled before, and has ended';
    case MigrationPhase.MIGRATION_PHASE_FAILED:
      return `has failed before, so nothing was cancelled: ${message}`;
    default:
      return `is being cancelled (${wordOf(phase)})`;
  }
}
