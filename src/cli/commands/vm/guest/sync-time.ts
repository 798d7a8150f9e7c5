import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import type { CliIo } from '../../../process/cli-io.ts';

export function addVmGuestSyncTimeCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('sync-time')
    .summary('set the clock of a guest')
    .description(
      'Sets the clock of a guest to that of its node. After a resume and after a migration that is done by itself, where the guest ' +
        'has a guest agent.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm guest sync-time web
`,
  );
  command.action(async (name: string, options: NamespaceOptions) => {
    const ref = vmRef(name, options);
    await withAgent(io, command, async (client, call) => {
      await client.guests.syncTime(ref, call);
      const vm = `VM ${ref.namespace || 'default'}/${ref.name}`;
      io.stdout.write(`The guest of ${vm} has the time of its node\n`);
    });
  });
}
