import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { nodeNameArgument, uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface SettleOptions extends OutputOptions {
  readonly nodeIsOff?: string;
}

export function addMigrationSettleCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('settle')
    .summary('end a migration whose other node is off for good')
    .description(
      'Ends a migration that waits for its other node, by your word that this node is off for good: its power is cut, and nothing that it has of the VM ' +
        'will ever run. Ask the node that is left, which has the VM then: a guest that is held there runs on; where a part of its memory was on the ' +
        'other node, the VM is off, with its disks as they were, and can be started. If your word is wrong, the VM runs twice, and both copies write to ' +
        'the same disks. While the other node answers this is refused, as the migration then ends by itself.',
    )
    .argument('<id>', 'id of the migration', uuidArgument)
    .option(
      '--node-is-off <node>',
      'name of the other node, by which you vouch that it is off for good (required)',
      nodeNameArgument,
    );
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl migration get 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
  novactl migration settle 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11 --node-is-off node-b
`,
  );
  command.action(async (id: string, { output, nodeIsOff }: SettleOptions) => {
    const offNode = nodeIsOff ?? refuseSilence(command);
    const { printItem } = await import('../../output/output.ts');
    const { migrationView } = await import('../../views/migration-view.ts');
    const { repeatCall } = await import('../../progress/repeat-call.ts');
    await withAgent(io, command, async (client, call) => {
      const settle = () => client.migrations.settle(id, offNode, call);
      const migration = await repeatCall(io, command, settle);
      if (output !== 'table') {
        await printItem(io, output, migrationView(Date.now()), migration);
        return;
      }
      const { endTime, message = '' } = migration.status ?? {};
      const outcome =
        endTime === undefined
          ? `is being settled without node ${offNode}: see novactl migration watch ${id}`
          : `has been settled without node ${offNode}${message === '' ? '' : `: ${message}`}`;
      io.stdout.write(`Migration ${id} ${outcome}\n`);
    });
  });
}

function refuseSilence(command: Command): never {
  return command.error(
    'error: say which node is off for good with --node-is-off NODE, once its power is cut and it cannot come on again: if it can, the VM runs twice, and both copies write to the same disks',
  );
}
