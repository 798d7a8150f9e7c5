import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeReleaseCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('release')
    .summary('end a reservation')
    .description('Ends a reservation of this node. One that is gone counts as released.')
    .argument('<reservation>', 'id of the reservation', uuidArgument);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node release 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
`,
  );
  command.action(async (id: string) => {
    await withAgent(io, command, async (client, call) => {
      await client.node.release(id, call);
      io.stdout.write(`Reservation ${id} released\n`);
    });
  });
}
