import type { Command } from 'commander';
import { withAgent } from '../../connection/agent-connection.ts';
import { vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmActionOptions, type VmActionOptions } from './action-options.ts';

export function addVmShutdownCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('shutdown')
    .summary('ask a guest to power off')
    .description('Asks the guest to power off. A guest may take its time or not listen at all.');
  addVmActionOptions(command, { waitsFor: 'it is off' }).addHelpText(
    'after',
    `
Examples:
  novactl vm shutdown web
  novactl vm shutdown web --wait --timeout 2m || novactl vm destroy web
`,
  );
  command.action(async (name: string, options: VmActionOptions) => {
    const { printVmAction } = await import('./action.ts');
    const { waitForPhase } = await import('../../progress/wait-for-phase.ts');
    await withAgent(io, command, async (client, call) => {
      const vm = await client.vms.shutdown(vmRef(name, options), call);
      const now =
        options.wait === true ? await waitForPhase(client, vm, 'Stopped', options, call) : vm;
      printVmAction(io, options, now, options.wait === true ? 'is off' : 'was asked to power off');
    });
  });
}
