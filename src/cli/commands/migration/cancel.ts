import type { Command } from 'commander';
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
    await withAgent(io, command, async (client, call) => {
      const migration = await client.migrations.cancel(id, call);
      const phase = migrationPhaseWord(migration.status?.phase ?? 0);
      if (options.output === 'table') {
        io.stdout.write(`Migration ${id} is being cancelled (${phase})\n`);
      } else {
        printItem(io, options.output, migrationView(Date.now()), migration);
      }
    });
  });
}
