import type { Command } from 'commander';
import { addConnectionOptions } from '../../connection/agent-connection.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface CordonOptions extends OutputOptions, ChangeOptions {
  readonly reason?: string;
}

export function addNodeCordonCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('cordon')
    .summary('take no new VMs')
    .description(
      'Makes the node take no new VMs: what would start a new VM here, reserve for one or bring one from another node ' +
        'is refused with NODE_CORDONED. VMs that are here run on, may be started again and may be migrated away.',
    )
    .option('--reason <text>', 'why, for whoever is refused; without it an earlier reason stays');
  addChangeOptions(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node cordon --reason 'new memory on Friday'
  novactl node uncordon
`,
  );
  command.action(async (options: CordonOptions) => {
    const { changeNode } = await import('./change-node.ts');
    const { reason } = options;
    const why = reason === undefined ? {} : { cordonReason: reason };
    await changeNode(io, command, options, { cordon: true, ...why }, 'takes no new VMs');
  });
}
