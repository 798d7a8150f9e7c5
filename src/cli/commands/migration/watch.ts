import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addSelectorOption, type SelectorOptions } from '../../input/selector-option.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface WatchOptions extends OutputOptions, SelectorOptions {}

export function addMigrationWatchCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('watch')
    .summary('follow a migration to its end, or all of them')
    .description(
      'Shows the progress of a migration until it has ended; the exit code says how it ended. Without an id it prints ' +
        'every change of the migrations from and to this node, a line each, until Ctrl-C. Ctrl-C stops watching; ' +
        'migrations go on.',
    )
    .argument('[id]', 'id of the migration', uuidArgument);
  addSelectorOption(command, 'migrations');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration watch 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
  novactl migration watch
  novactl migration watch -l plan=friday -o json
`,
  );
  command.action(async (id: string | undefined, options: WatchOptions) => {
    if (id === undefined) return await watchAll(io, command, options);
    if (options.selector !== undefined) command.error('error: give either an id or a selector');
    const { followMigration } = await import('../../progress/follow-migration.ts');
    await withAgent(io, command, (client) =>
      followMigration(io, command, client, id, options.output),
    );
  });
}

async function watchAll(
  io: CliIo,
  command: Command,
  { output, selector: labelSelector }: WatchOptions,
): Promise<void> {
  if (output !== 'table' && output !== 'json') {
    command.error('error: without an id the output is table or json');
  }
  const { watchMigrations } = await import('../../../client/watches.ts');
  const { printChanges } = await import('../../progress/print-changes.ts');
  const { MIGRATION_CHANGE_WORDS } = await import('../../views/migration-view.ts');
  const format = output === 'json' ? 'json' : 'text';
  await withAgent(io, command, (client) =>
    printChanges(io, format, MIGRATION_CHANGE_WORDS, (resume) =>
      watchMigrations(client, { ...resume, labelSelector }),
    ),
  );
}
