import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addSelectorOption, type SelectorOptions } from '../../input/selector-option.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ListOptions extends OutputOptions, SelectorOptions {
  readonly active?: boolean;
}

export function addMigrationListCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('list')
    .alias('ls')
    .summary('the migrations that the node knows')
    .description('Lists the migrations from and to this node, newest first.')
    .option('--active', 'only those that have not ended');
  addSelectorOption(command, 'migrations');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration list --active
  novactl migration list -o wide
`,
  );
  command.action(async (options: ListOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { migrationView } = await import('../../views/migration-view.ts');
    await withAgent(io, command, async (client, call) => {
      const { active: activeOnly = false, selector: labelSelector = '' } = options;
      const found = client.migrations.listAll({ activeOnly, labelSelector }, call);
      const migrations = await Array.fromAsync(found);
      const view = migrationView(Date.now());
      await printList(io, options.output, view, migrations, 'There are no migrations');
    });
  });
}
