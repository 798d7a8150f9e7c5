import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addMigrationGetCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('get')
    .summary('one migration')
    .description('Shows one migration, running or ended.')
    .argument('<id>', 'id of the migration', uuidArgument);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration get 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11 -o yaml
`,
  );
  command.action(async (id: string, options: OutputOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { migrationView } = await import('../../views/migration-view.ts');
    await withAgent(io, command, async (client, call) => {
      await printItem(
        io,
        options.output,
        migrationView(Date.now()),
        await client.migrations.get(id, call),
      );
    });
  });
}
