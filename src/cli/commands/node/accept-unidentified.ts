import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeAcceptUnidentifiedCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('accept-unidentified')
    .summary('go on without knowing whose some VMs are')
    .description(
      "Has an agent serve whose journal is new, as after the loss of its disk, although libvirt cannot describe some VMs, which may be this node's. " +
        'Until then it tells of no VM and changes none, so that none is taken for gone. Those that are its own it knows again as soon as libvirt can ' +
        'describe them; until then they are listed by "novactl node get" only. Where the agent waits for no VM this changes nothing.',
    );
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node get
  novactl node accept-unidentified
`,
  );
  command.action(async ({ output }: OutputOptions) => {
    const { printNodeAction } = await import('./action.ts');
    await withAgent(io, command, async (client, call) => {
      const { node, accepted } = await client.node.acceptUnidentified(call);
      const names = accepted.map(({ hypervisorName, uid }) => `${hypervisorName} (${uid})`);
      const done =
        names.length === 0
          ? 'waits for no unidentified VMs'
          : `goes on without knowing whose these VMs are: ${names.join(', ')}`;
      await printNodeAction(io, output, node, done);
    });
  });
}
