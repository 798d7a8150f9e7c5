import { type Command, Option } from 'commander';
import { addConnectionOptions, withAgent } from '../connection/agent-connection.ts';
import { namespaceArgument } from '../input/argument-parsers.ts';
import { addSelectorOption, type SelectorOptions } from '../input/selector-option.ts';
import type { CliIo } from '../process/cli-io.ts';

interface WatchOptions extends SelectorOptions {
  readonly namespace?: string;
  readonly output: 'text' | 'json';
}

export function addWatchCommand(parent: Command, io: CliIo): Command {
  const command = parent
    .command('watch')
    .description(
      'Prints the VMs as they are, then every change as it happens, until Ctrl-C. A lost connection is made ' +
        'anew, and what happened meanwhile is printed. A VM whose labels no longer match is printed as deleted.',
    )
    .option('-n, --namespace <namespace>', 'only the VMs of this namespace', namespaceArgument)
    .addOption(
      new Option('-o, --output <format>', 'how to print it; json is one object per line')
        .choices(['text', 'json'])
        .default('text'),
    );
  addSelectorOption(command, 'VMs');
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl watch
  novactl watch -l app=web
  novactl watch -o json | jq --unbuffered -r 'select(.object.status.phase == "Failed")'
`,
  );
  command.action(async (options: WatchOptions) => {
    const { watchVirtualMachines } = await import('../../client/watches.ts');
    const { printChanges } = await import('../progress/print-changes.ts');
    const { VM_CHANGE_WORDS } = await import('../views/vm-view.ts');
    const { namespace, output, selector: labelSelector } = options;
    await withAgent(io, command, (client) =>
      printChanges(io, output, VM_CHANGE_WORDS, (resume) =>
        watchVirtualMachines(client, { ...resume, namespace, labelSelector }),
      ),
    );
  });
  return command;
}
