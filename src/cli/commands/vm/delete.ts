import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface DeleteOptions extends NamespaceOptions {
  readonly force?: boolean;
}

export function addVmDeleteCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('delete')
    .summary('forget a stopped VM')
    .description('Forgets a stopped VM; its disk images stay. One that is gone counts as deleted.')
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('--force', 'cut the power first if it runs');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm delete web
  novactl vm delete web --force
`,
  );
  command.action(async (name: string, options: DeleteOptions) => {
    await withAgent(io, command, async (client, call) => {
      const ref = vmRef(name, options);
      await client.vms.delete(ref, { ...call, force: options.force });
      io.stdout.write(`VM ${ref.namespace || 'default'}/${ref.name} deleted\n`);
    });
  });
}
