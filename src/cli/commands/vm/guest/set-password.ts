import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { guestUserArgument } from '../../../input/argument-parsers.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import type { CliIo } from '../../../process/cli-io.ts';
import { EXIT_CODES, Exit } from '../../../process/exit-codes.ts';

interface PasswordOptions extends NamespaceOptions {
  readonly crypted?: boolean;
}

export function addVmGuestSetPasswordCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('set-password')
    .summary('give a user of a guest another password')
    .description(
      'Gives a user that is there another password. It is asked for on the terminal, without showing it, or else is the first line ' +
        'of standard input; it is never a word of the command line, where others would see it, and nobody keeps or logs it.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .argument('<user>', 'user of the guest, such as root', guestUserArgument)
    .option('--crypted', 'it is a hash as the guest keeps it, such as $6$…');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm guest set-password web root
  novactl vm guest set-password web root <password-file
  mkpasswd -m sha-512 | novactl vm guest set-password web debian --crypted
`,
  );
  command.action(async (name: string, user: string, options: PasswordOptions) => {
    const ref = vmRef(name, options);
    const password = await io.readSecret(`New password of ${user}: `);
    if (password === '') {
      io.stderr.write('Error: There is no password on standard input, or an empty one was typed\n');
      throw new Exit(EXIT_CODES.usage);
    }
    if (io.isInteractive && (await io.readSecret('Once more: ')) !== password) {
      io.stderr.write('Error: The two are not the same; nothing has changed\n');
      throw new Exit(EXIT_CODES.usage);
    }
    const { crypted = false } = options;
    await withAgent(io, command, async (client, call) => {
      await client.guests.setPassword(ref, { user, password, crypted }, call);
      io.stdout.write(
        `User ${user} of VM ${ref.namespace || 'default'}/${ref.name} has a new password\n`,
      );
    });
  });
}
