import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeGetCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('get')
    .summary('the node and its hypervisor')
    .description(
      'Shows the node: its state and its hypervisor; then by resource what it has, what VMs may have of it in all ' +
        'and what they have been given; then its conditions (before these, if one does not hold, what is wrong first); then the controllers of its agent, which keep VMs as they should be: ' +
        'the VMs for which a step is due, how long the oldest has been so, how many wait for their next step, and how many for another try ' +
        'because the last one has failed; then, if there are any, the VMs that libvirt cannot describe and that are not known to be of this node. CPUs are shared, and may be given more than once. With -o yaml amounts are exact.',
    );
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
  command.action(async ({ output }: OutputOptions) => {
    const { printItem } = await import('../../output/output.ts');
    const { nodeView } = await import('../../views/node-view.ts');
    const { nodeDetailsText } = await import('../../views/node-details.ts');
    await withAgent(io, command, async (client, call) => {
      const node = await client.node.get(call);
      const nowMs = Date.now();
      await printItem(io, output, nodeView(nowMs), node);
      if (output === 'table' || output === 'wide') io.stdout.write(nodeDetailsText(node, nowMs));
    });
  });
}
