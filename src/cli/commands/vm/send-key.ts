import { type Command, InvalidArgumentError } from 'commander';
import { KEY_NAMES, keyCodeOf } from '../../../core/key-names.ts';
import { nearestKey } from '../../../core/nearest-key.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef, vmWords } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addVmSendKeyCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('send-key')
    .summary('press keys at the keyboard of a VM')
    .description(
      'Presses keys at the keyboard of a VM that runs, one argument after the other; keys with - between them are pressed at ' +
        'the same time.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .argument(
      '<keys...>',
      'such as ctrl-alt-delete, f2 or enter: keys of a US keyboard by name, or codes of input-event-codes.h',
      keysArgument,
    );
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Keys: ${KEY_NAMES.filter((name) => name.length > 1).join(' ')}, letters and digits

Examples:
  novactl vm send-key web ctrl-alt-delete
  novactl vm send-key web r o o t enter
`,
  );
  command.action(
    async (name: string, chords: readonly (readonly string[])[], options: NamespaceOptions) => {
      const ref = vmRef(name, options);
      await withAgent(io, command, async (client, call) => {
        for (const keys of chords) await client.consoles.sendKeys(ref, keys, call);
      });
      const sent = chords.map((keys) => keys.join('-')).join(' ');
      io.stdout.write(`${sent} pressed at VM ${vmWords(ref)}\n`);
    },
  );
}

function keysArgument(
  text: string,
  previous: readonly (readonly string[])[] | undefined,
): readonly (readonly string[])[] {
  const keys = text.toLowerCase().split('-');
  for (const key of keys) {
    if (keyCodeOf(key) !== undefined) continue;
    const near = nearestKey(key, KEY_NAMES);
    const advice =
      near === undefined ? 'see --help for those that there are' : `did you mean ${near}`;
    throw new InvalidArgumentError(`There is no key ${JSON.stringify(key)}; ${advice}.`);
  }
  return [...(previous ?? []), keys];
}
