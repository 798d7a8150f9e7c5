import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { namespaceArgument } from '../../input/argument-parsers.ts';
import { addSelectorOption, type SelectorOptions } from '../../input/selector-option.ts';
import type { NamespaceOptions } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ListOptions extends OutputOptions, NamespaceOptions, SelectorOptions {}

export function addVmListCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('list')
    .alias('ls')
    .summary('the VMs of the node')
    .description(
      'Lists the VMs that the node owns, sorted by namespace and name: their phases and why they are in them, addresses where known, ' +
        'whether they can be moved live or why not, and for how long each guest has been on, on whichever node (UPTIME). On a terminal that is too ' +
        'narrow for all that AGE, CPUS, MEMORY, ADDRESSES and UPTIME are left out, in this order, as far as it must be; -o wide has everything.',
    )
    .option('-n, --namespace <namespace>', 'only the VMs of this namespace', namespaceArgument);
  addSelectorOption(command, 'VMs');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm list
  novactl vm list -n shop -l 'app=web,tier in (front,back)' -o wide
  novactl vm list -o json | jq '.items[] | select(.status.phase == "Failed").metadata.name'
  novactl vm list -o name | xargs -n1 novactl vm shutdown
`,
  );
  command.action(async (options: ListOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { vmDocument, vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const { namespace = '', selector = '' } = options;
      const found = client.vms.listAll({ namespace, labelSelector: selector }, call);
      const vms = await Array.fromAsync(found, vmDocument);
      const view = vmView({ nowMs: Date.now(), showNamespace: options.namespace === undefined });
      const where = namespace === '' ? '' : ` in namespace ${namespace}`;
      const none =
        selector === '' ? `There are no VMs${where}` : `No VM${where} matches ${selector}`;
      await printList(io, options.output, view, vms, none);
    });
  });
}
