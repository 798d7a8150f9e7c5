import type { Command } from 'commander';
import type { ConsoleOpened } from '../../../client/api.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { whyEnded } from '../../console/why-ended.ts';
import { bytesArgument } from '../../input/argument-parsers.ts';
import { DEFAULT_ESCAPE, type EscapeKey, escapeKeyArgument } from '../../input/escape-key.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef, vmWords } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ConsoleOptions extends NamespaceOptions {
  readonly readOnly?: boolean;
  readonly takeOver?: boolean;
  readonly scrollback?: bigint;
  readonly escape?: EscapeKey;
  readonly resize?: boolean;
}

const DEFAULT_SCROLLBACK_BYTES = 4096n;
const MAX_SCROLLBACK_BYTES = 1024n * 1024n;

export function addVmConsoleCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('console')
    .summary('see and type on the serial console of a VM')
    .description(
      'Connects the terminal to the first serial console of a VM that runs, until ^] is typed or the VM stops. Any number may ' +
        'see it, one types. Over a restart of the agent, or of libvirt, it goes on.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('-r, --read-only', 'only see it, as any number of others may')
    .addOption(
      parent
        .createOption('--take-over', 'type in the place of another, who only sees it from then on')
        .conflicts('readOnly'),
    )
    .option(
      '--scrollback <bytes>',
      'so much of what was written before, at most 1Mi (4Ki)',
      scrollbackArgument,
    )
    .option('--escape <key>', 'what ends it, as ^X, or none (^])', escapeKeyArgument)
    .option(
      '--resize',
      'tell the shell that runs there the size of this terminal, by typing stty rows R cols C, at once and when it changes',
    );
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm console web
  novactl vm console web --read-only --scrollback 64Ki
  echo poweroff | novactl vm console web
`,
  );
  command.action(async (name: string, options: ConsoleOptions) => {
    const ref = vmRef(name, options);
    // Before the terminal is another: what stands in the way is told as usual.
    const { ConsoleSession } = await import('../../console/console-session.ts');
    await withAgent(io, command, async (client, call) => {
      const { readOnly = false, takeOver = false, resize = false } = options;
      const { scrollback = DEFAULT_SCROLLBACK_BYTES, escape = DEFAULT_ESCAPE } = options;
      const session = new ConsoleSession({
        io,
        consoles: client.consoles,
        ref,
        mode: readOnly ? 'read' : takeOver ? 'take-over' : 'write',
        scrollbackBytes: Number(scrollback),
        escape,
        tellsSize: resize,
        onOpened: (opened) => io.stderr.write(openedText(opened, options)),
      });
      const end = await session.run(call.signal);
      if (end === 'escaped') io.stderr.write(`\nThe console of VM ${vmWords(ref)} is closed\n`);
      if (end !== 'ended') return;
      const why = await whyEnded(client.vms.get(ref, call));
      io.stderr.write(`\nThe console of VM ${vmWords(ref)} has ended: ${why}\n`);
    });
  });
}

function scrollbackArgument(text: string): bigint {
  if (text === '0') return 0n;
  const bytes = bytesArgument(text);
  return bytes > MAX_SCROLLBACK_BYTES ? MAX_SCROLLBACK_BYTES : bytes;
}

function openedText(
  { ref, others, writer, paused }: ConsoleOpened,
  { readOnly, escape = DEFAULT_ESCAPE }: ConsoleOptions,
): string {
  const sentences = [`Connected to the console of VM ${ref === undefined ? '' : vmWords(ref)}`];
  if (escape.byte !== undefined) sentences.push(`${escape.name} ends it`);
  if (readOnly && writer !== undefined) sentences.push(`${writer.identity} types`);
  if (others > 0) sentences.push(`${others} other${others === 1 ? ' sees' : 's see'} it too`);
  if (paused) sentences.push('the VM is paused, so nothing comes before it goes on');
  return `${sentences.join('; ')}\n`;
}
