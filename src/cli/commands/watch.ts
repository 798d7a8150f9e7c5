import { type Command, Option } from 'commander';
import { addConnectionOptions, withAgent } from '../connection/agent-connection.ts';
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
      'Prints the VMs as they are, then every change as it happens, until Ctrl-C. A lost connection is made\n' +
        'anew, and what happened meanwhile is printed. A VM whose labels no longer match is printed as deleted.',
    )
    .option('-n, --namespace <namespace>', 'only the VMs of this namespace')
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
    const { watchEventDocument, watchEventText } = await import('../views/watch-event.ts');
    await withAgent(io, command, async (client) => {
      const onLost = () => {
        io.stderr.write('The connection to the agent was lost; connecting again\n');
      };
      const { signal } = io;
      const { namespace, selector } = options;
      const wanted = { signal, onLost, namespace, labelSelector: selector };
      for await (const event of watchVirtualMachines(client, wanted)) {
        if (event.type === 'synced') continue;
        io.stdout.write(
          options.output === 'json'
            ? `${JSON.stringify(watchEventDocument(event))}\n`
            : watchEventText(event, new Date()),
        );
      }
    });
  });
  return command;
}
