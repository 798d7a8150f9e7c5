import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../../output/output-format.ts';
import type { CliIo } from '../../../process/cli-io.ts';

export function addVmGuestInfoCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('info')
    .summary('what a guest says of itself, and its addresses')
    .description(
      'Shows the operating system, host name, time zone, users and file systems of a guest, by its own word, and its addresses: ' +
        'with each stands who says so, the guest (agent), the DHCP server of a network of libvirt (lease), or the node that has ' +
        'heard from it (arp). What is not known is named with the reason.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME');
  addNamespaceOption(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm guest info web
  novactl vm guest info web -o json
`,
  );
  command.action(async (name: string, options: OutputOptions & NamespaceOptions) => {
    const { printItem } = await import('../../../output/output.ts');
    const { GUEST_VIEW, guestDetailsText } = await import('../../../views/guest-view.ts');
    await withAgent(io, command, async (client, call) => {
      const guest = await client.guests.get(vmRef(name, options), call);
      await printItem(io, options.output, GUEST_VIEW, guest);
      if (options.output === 'table' || options.output === 'wide') {
        io.stdout.write(guestDetailsText(guest));
      }
    });
  });
}
