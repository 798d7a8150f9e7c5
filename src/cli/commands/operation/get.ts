import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addOperationGetCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('get')
    .summary('one operation')
    .description(
      'Shows one operation, going on or ended: what was asked for and by whom, how far it is, what came of it. As yaml or ' +
        'json with the whole request, a manifest without its user data.',
    )
    .argument('<operation>', 'id of the operation', uuidArgument);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl operation get 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11 -o yaml
`,
  );
  command.action(async (id: string, options: OutputOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { operationView } = await import('../../views/operation-view.ts');
    await withAgent(io, command, async (client, call) => {
      const operation = await client.operations.get(id, call);
      await printItem(io, options.output, operationView(Date.now()), operation);
    });
  });
}
