import type { Command } from 'commander';
import { withAgent } from '../../connection/agent-connection.ts';
import { vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmActionOptions, type VmActionOptions } from './action-options.ts';

export function addVmStartCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('start')
    .summary('start a stopped VM')
    .description('Starts a stopped VM. One that runs already counts as started.');
  addVmActionOptions(command, { waitsFor: 'it runs' }).addHelpText(
    'after',
    `
Examples:
  novactl vm start web
  novactl vm start web --wait --timeout 30s
`,
  );
  command.action(async (name: string, options: VmActionOptions) => {
    const { printVmAction } = await import('./action.ts');
    const { waitForPhase } = await import('../../progress/wait-for-phase.ts');
    await withAgent(io, command, async (client, call) => {
      const vm = await client.vms.start(vmRef(name, options), call);
      const now =
        options.wait === true ? await waitForPhase(client, vm, 'Running', options, call) : vm;
      printVmAction(io, options, now, 'started');
    });
  });
}
