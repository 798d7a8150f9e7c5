import type { Command } from 'commander';
import { withAgent } from '../../connection/agent-connection.ts';
import { vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmActionOptions, type VmActionOptions } from './action-options.ts';

export function addVmDestroyCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('destroy')
    .summary('cut the power of a VM')
    .description(
      'Cuts the power of a VM. The guest may lose what it has not written; the VM itself stays.',
    );
  addVmActionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm destroy web
`,
  );
  command.action(async (name: string, options: VmActionOptions) => {
    const { printVmAction } = await import('./action.ts');
    await withAgent(io, command, async (client, call) => {
      printVmAction(io, options, await client.vms.destroy(vmRef(name, options), call), 'cut off');
    });
  });
}
