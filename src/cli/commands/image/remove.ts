import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { digestArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addImageRemoveCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('remove')
    .summary('remove an image')
    .description(
      'Removes an image from the node. One that disks stand on is refused. What is made from it later fetches it again.',
    )
    .argument('<digest>', 'its digest, or the first digits', digestArgument);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl image remove sha256:1f0a4c529a58
`,
  );
  command.action(async (digest: string) => {
    await withAgent(io, command, async (client, call) => {
      await client.images.remove(digest, call);
      io.stdout.write(`Image ${digest} removed\n`);
    });
  });
}
