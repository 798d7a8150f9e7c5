import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmFilterOptions, type VmFilterOptions, vmFilter } from './vm-filter.ts';

interface ListOptions extends OutputOptions, VmFilterOptions {
  readonly active?: boolean;
}

export function addOperationListCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('list')
    .alias('ls')
    .summary('what was asked for of VMs and the node')
    .description(
      'Lists the operations of the node, newest first. Those that have ended are kept for 7 days, and the last 10,000 ' +
        'for longer. What was asked of the node itself has no VM.',
    )
    .option('--active', 'only those that have not ended');
  addVmFilterOptions(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl operation list --active
  novactl operation list --vm web
  novactl operation list -n shop -o wide
  novactl operation list -o json | jq -r '.items[] | select(.state == "Failed").error.message'
`,
  );
  command.action(async (options: ListOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { operationView } = await import('../../views/operation-view.ts');
    const filter = vmFilter(command, options);
    await withAgent(io, command, async (client, call) => {
      const { active: activeOnly = false } = options;
      const found = client.operations.listAll({ ...filter, activeOnly }, call);
      const operations = await Array.fromAsync(found);
      const view = operationView(Date.now());
      await printList(io, options.output, view, operations, 'There are no operations');
    });
  });
}
