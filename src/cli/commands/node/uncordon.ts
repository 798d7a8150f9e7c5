import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeUncordonCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('uncordon')
    .summary('take new VMs again')
    .description('Makes the node take new VMs again, and forgets the reason of the cordon.');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node uncordon
  novactl --node node-b node uncordon
`,
  );
  command.action(async ({ output }: OutputOptions) => {
    const { printNodeAction } = await import('./action.ts');
    await withAgent(io, command, async (client, call) => {
      const node = await client.node.update({ cordon: false, cordonReason: '' }, call);
      printNodeAction(io, output, node, 'takes new VMs');
    });
  });
}
