import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../output/output-format.ts';
import type { CliIo } from '../process/cli-io.ts';

export function addNodeCommand(parent: Command, io: CliIo): Command {
  const node = parent.command('node').description('Shows the node that the agent runs on.');
  const command = node
    .command('get')
    .summary('the node and its hypervisor')
    .description('Shows the node: its state, what it has and what is used, its hypervisor.');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node get
  novactl node get -o yaml
  novactl --node node-b node get -o wide
`,
  );
  command.action(async (options: OutputOptions) => {
    const { printItem } = await import('../output/output.ts');
    const { nodeView } = await import('../views/node-view.ts');
    await withAgent(io, command, async (client, call) => {
      printItem(io, options.output, nodeView(Date.now()), await client.node.get(call));
    });
  });
  return node;
}
