import type { Command } from 'commander';
import type { Operation } from '../../../client/api.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addOperationCancelCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('cancel')
    .summary('end an operation')
    .description(
      'Ends an operation as far as that is possible: a creation is undone, a migration stopped before its switchover, ' +
        'a guest no longer waited for (it may still power off). One that has ended stays as it is.',
    )
    .argument('<operation>', 'id of the operation', uuidArgument);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl operation cancel 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
`,
  );
  command.action(async (id: string, options: OutputOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { operationStateWord, operationView } = await import('../../views/operation-view.ts');
    const { repeatCall } = await import('../../progress/repeat-call.ts');
    await withAgent(io, command, async (client, call) => {
      const operation = await repeatCall(io, command, () => client.operations.cancel(id, call));
      if (options.output === 'table') {
        const state = operationStateWord(operation);
        io.stdout.write(`Operation ${id} ${outcome(operation, state)}\n`);
      } else {
        await printItem(io, options.output, operationView(Date.now()), operation);
      }
    });
  });
}

function outcome({ endTime }: Operation, state: string): string {
  if (endTime === undefined) return `is being cancelled (${state})`;
  return state === 'Cancelled' ? 'is cancelled' : `had ended already (${state})`;
}
