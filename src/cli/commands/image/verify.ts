import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { digestArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addImageVerifyCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('verify')
    .summary('read an image whole, and compare it with its digest')
    .description(
      'Reads an image whole and compares it with its digest, which takes as long as reading it. Ends with an error if it is not whole.',
    )
    .argument('<digest>', 'its digest, or the first digits', digestArgument);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl image verify sha256:1f0a4c529a58 --request-timeout 10m
`,
  );
  command.action(async (digest: string) => {
    const { Exit, EXIT_CODES } = await import('../../process/exit-codes.ts');
    await withAgent(io, command, async (client, call) => {
      const problem = await client.images.verify(digest, call);
      if (problem === undefined) {
        io.stdout.write(`Image ${digest} is whole\n`);
        return;
      }
      io.stderr.write(
        `Image ${digest} is not whole: ${problem}; disks that stand on it may read what nobody wrote. Remove it once none does, and fetch it again\n`,
      );
      throw new Exit(EXIT_CODES.failure);
    });
  });
}
