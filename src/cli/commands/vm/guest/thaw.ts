import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import type { CliIo } from '../../../process/cli-io.ts';

interface ThawOptions extends NamespaceOptions {
  readonly force?: boolean;
}

export function addVmGuestThawCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('thaw')
    .summary('let writes to the file systems of a guest go on')
    .description(
      'Ends what "novactl vm guest freeze" has begun. A guest that is not frozen is left as it is.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('--force', 'also if somebody else has frozen it, who may be at a backup');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm guest thaw web
`,
  );
  command.action(async (name: string, { force, ...options }: ThawOptions) => {
    const ref = vmRef(name, options);
    await withAgent(io, command, async (client, call) => {
      const { fileSystems } = await client.guests.thaw(ref, { ...call, force });
      const vm = `VM ${ref.namespace || 'default'}/${ref.name}`;
      const how = fileSystems === 0 ? 'was not frozen' : `is thawed (${fileSystems})`;
      io.stdout.write(`The guest of ${vm} ${how}\n`);
    });
  });
}
