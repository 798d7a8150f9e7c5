import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { labelArgument } from '../../input/argument-parsers.ts';
import type { NamespaceOptions } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ListOptions extends OutputOptions, NamespaceOptions {
  readonly selector?: Readonly<Record<string, string>>;
}

export function addVmListCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('list')
    .alias('ls')
    .summary('the VMs of the node')
    .description('Lists the VMs that the node owns, sorted by namespace and name.')
    .option('-n, --namespace <namespace>', 'only the VMs of this namespace')
    .option('-l, --selector <labels>', 'only VMs with these labels: KEY=VALUE,…', labelArgument);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm list
  novactl vm list -n shop -l app=web -o wide
  novactl vm list -o json | jq '.items[] | select(.status.phase == "Failed").metadata.name'
  novactl vm list -o name | xargs -n1 novactl vm shutdown
`,
  );
  command.action(async (options: ListOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const filter = { namespace: options.namespace, labelSelector: options.selector };
      const { virtualMachines } = await client.vms.list(filter, call);
      const view = vmView({ nowMs: Date.now(), showNamespace: options.namespace === undefined });
      printList(io, options.output, view, virtualMachines, 'There are no VMs');
    });
  });
}
