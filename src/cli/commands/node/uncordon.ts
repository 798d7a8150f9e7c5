import type { Command } from 'commander';
import { addConnectionOptions } from '../../connection/agent-connection.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeUncordonCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('uncordon')
    .summary('take new VMs again')
    .description('Makes the node take new VMs again, and forgets the reason of the cordon.');
  addChangeOptions(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node uncordon
  novactl --node node-b node uncordon
`,
  );
  command.action(async (options: OutputOptions & ChangeOptions) => {
    const { changeNode } = await import('./change-node.ts');
    const spec = { cordon: false, cordonReason: '' };
    await changeNode(io, command, options, spec, 'takes new VMs');
  });
}
