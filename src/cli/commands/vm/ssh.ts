import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { reachableAddress } from '../../input/reachable-address.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef, vmWords } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { Exit } from '../../process/exit-codes.ts';

interface SshOptions extends NamespaceOptions {
  readonly login?: string;
  readonly identity?: string;
}

export function addVmSshCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('ssh')
    .summary('log in to a guest by SSH')
    .description(
      "Runs this machine's ssh to the first address that the guest is known by, which must be reachable from here. Words after -- are " +
        'its own options, and the command that it runs there. It ends with its exit code. Host keys are kept under the uid of the VM, so ' +
        'that one that gets the address of another is not taken for it.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .argument('[args...]', "ssh's options and the command, after --")
    .option('-l, --login <user>', "the guest's user (that of ssh's configuration, or yours)")
    .option('-i, --identity <file>', 'private key');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm ssh web -l debian
  novactl vm ssh web -l debian -- uptime
  novactl vm ssh web -l debian -- -L 8080:localhost:80
`,
  );
  command.action(async (name: string, args: string[], options: SshOptions) => {
    const ref = vmRef(name, options);
    const guest = await withAgent(io, command, (client, call) => client.guests.get(ref, call));
    const address = reachableAddress(guest.interfaces);
    if (address === undefined) {
      const [problem] = guest.problems.filter(({ field }) => field.startsWith('interfaces'));
      const why = problem === undefined ? '' : ` (${problem.message})`;
      throw new AgentError(
        'GUEST_AGENT_NOT_CONNECTED',
        `Cannot reach VM ${vmWords(ref)} by SSH: no address of its guest is known${why}; give the VM a network and its guest qemu-guest-agent, or use its console: novactl vm console ${name}`,
      );
    }
    const { login, identity } = options;
    const words = [
      '-o',
      `HostKeyAlias=novacron-${guest.virtualMachine?.uid ?? ''}`,
      ...(login === undefined ? [] : ['-l', login]),
      ...(identity === undefined ? [] : ['-i', identity]),
      ...optionsOf(args),
      address,
      ...args.slice(optionsOf(args).length),
    ];
    throw new Exit(await run(io, words));
  });
}

/** ssh takes options before the host, and the command after it. */
function optionsOf(args: readonly string[]): readonly string[] {
  const ofTwoWords = /^-[BbcDEeFIiJLlmOoPpQRSWw]$/;
  let count = 0;
  while (args[count]?.startsWith('-') === true) count += ofTwoWords.test(args[count] ?? '') ? 2 : 1;
  return args.slice(0, count);
}

async function run(io: CliIo, words: readonly string[]): Promise<number> {
  try {
    return await io.runOnTerminal('ssh', words);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new AgentError(
      'INVALID_REQUEST',
      'Cannot run ssh: there is none on this machine; install it (Debian: apt-get install openssh-client)',
      { cause: error },
    );
  }
}
