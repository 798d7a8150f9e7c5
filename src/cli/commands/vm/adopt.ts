import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { domainArgument, namespaceArgument, vmNameArgument } from '../../input/argument-parsers.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';

interface AdoptOptions extends OutputOptions, ChangeOptions {
  readonly dryRun?: boolean;
  readonly name?: string;
  readonly namespace?: string;
}

export function addVmAdoptCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('adopt')
    .summary('take over a VM that was made with virsh or the like')
    .description(
      'Takes over a VM of the node that no agent has made, as with virsh, virt-install or virt-manager: the agent has it ' +
        'from then on, with the manifest that it reads of it. All of it stays as it is, and if it runs it runs on. What no ' +
        'manifest can say is kept, and named. docs/adopt.md has what can be adopted, and how to go back.',
    )
    .argument(
      '<domain>',
      'name that libvirt has for it, as virsh list --all shows it',
      domainArgument,
    )
    .option('--dry-run', 'show its manifest and what is kept beside it, and change nothing')
    .option('--name <name>', "name of the VM; libvirt's name for it if left out", vmNameArgument)
    .option('-n, --namespace <namespace>', 'namespace of the VM ("default")', namespaceArgument);
  addChangeOptions(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm adopt web --dry-run
  novactl vm adopt web
  novactl vm adopt "Windows 2019" --name windows --namespace office
  novactl vm adopt web --dry-run -o yaml
`,
  );
  command.action(async (domain: string, options: AdoptOptions) => {
    const { dryRun = false, name, namespace, output } = options;
    const { change } = await import('../../progress/change.ts');
    const { required } = await import('../../../client/required.ts');
    const { printItem } = await import('../../output/output.ts');
    const { operationVmName, printBegun } = await import('../../views/operation-view.ts');
    const { vmDocument, vmView } = await import('../../views/vm-view.ts');
    const { adoptedText, plannedText } = await import('../../views/adopted-vm.ts');
    await withAgent(io, command, async (client, call) => {
      const ask = (operationId?: string) =>
        client.vms.adopt(domain, { ...call, dryRun, name, namespace, operationId });
      const { answer, operation } = dryRun
        ? { answer: await ask(), operation: undefined }
        : await change({ io, command, client, options }, ask);
      if (operation !== undefined && !options.wait) {
        if (output === 'table') writeBegun(io, `${operation.id}\n`);
        else await printBegun(io, output, operation);
        return;
      }
      const message =
        operation?.virtualMachine === undefined
          ? required(answer.virtualMachine, 'VM')
          : await client.vms.get(operation.virtualMachine, call);
      const subject = operation === undefined ? domain : operationVmName(operation);
      // An operation that has ended knows all of them.
      for (const warning of operation?.warnings ?? answer.warnings) {
        io.stderr.write(`Warning: VM ${subject}: ${warning}\n`);
      }
      const vm = vmDocument(message);
      if (output !== 'table') {
        await printItem(io, output, vmView({ nowMs: Date.now(), showNamespace: true }), vm);
      } else io.stdout.write(dryRun ? await plannedText(vm) : adoptedText(vm));
    });
  });
}
