import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addMigrationWatchCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('watch')
    .summary('follow a migration to its end')
    .description(
      'Shows the progress of a migration until it has ended; the exit code says how it ended.\n' +
        'Ctrl-C stops watching; the migration goes on.',
    )
    .argument('<id>', 'id of the migration');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration watch 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
`,
  );
  command.action(async (id: string, options: OutputOptions) => {
    const { followMigration } = await import('../../progress/follow-migration.ts');
    await withAgent(io, command, (client) =>
      followMigration(io, command, client, id, options.output),
    );
  });
}
