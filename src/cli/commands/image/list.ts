import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addImageListCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('list')
    .summary('the images of the node, and what uses them')
    .description(
      'Lists the images that the node keeps: where each was found, what it is, the room that it takes, and how many disks stand on it.',
    );
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl image list
  novactl image list -o json
`,
  );
  command.action(async ({ output }: OutputOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { imageView } = await import('../../views/image-view.ts');
    await withAgent(io, command, async (client, call) => {
      const images = await client.images.list(call);
      await printList(
        io,
        output,
        imageView(Date.now()),
        images,
        'There are no images on this node',
      );
    });
  });
}
