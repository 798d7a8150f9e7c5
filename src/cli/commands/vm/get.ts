import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addVmGetCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('get')
    .summary('one VM')
    .description(
      'Shows one VM, why it is what it is, and its conditions: RunStrategyFulfilled says what a VM that shall run waits for; ' +
        'then its network interfaces, and by field what waits for its next start: the value in force and the one after it. With -o yaml it is what "vm apply -f" reads.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME');
  addNamespaceOption(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm get web
  novactl vm get shop/web -o yaml
`,
  );
  command.action(async (name: string, options: OutputOptions & NamespaceOptions) => {
    const { output } = options;
    const { printItem } = await import('../../output/output.ts');
    const { pendingChangesText } = await import('../../views/pending-changes.ts');
    const { vmDetailsText } = await import('../../views/vm-details.ts');
    const { vmInterfacesText } = await import('../../views/vm-interfaces.ts');
    const { vmDocument, vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const vm = vmDocument(
        await client.vms.get(vmRef(name, options), { ...call, measureDisks: true }),
      );
      const nowMs = Date.now();
      await printItem(io, output, vmView({ nowMs, showNamespace: true }), vm);
      if (output === 'table' || output === 'wide') {
        const parts = [vmDetailsText(vm, nowMs), vmInterfacesText(vm), pendingChangesText(vm)];
        io.stdout.write(parts.join(''));
      }
    });
  });
}
