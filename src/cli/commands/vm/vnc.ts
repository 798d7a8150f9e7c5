import { type Command, InvalidArgumentError } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef, vmWords } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface VncOptions extends NamespaceOptions {
  readonly port: number;
}

const MAX_PORT = 65_535;

export function addVmVncCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('vnc')
    .summary('see the screen of a VM with a VNC viewer')
    .description(
      'Lets VNC viewers of this machine see the screen of a VM that runs, by a port of 127.0.0.1, until Ctrl-C. There is no password: ' +
        'every user of this machine can connect while it runs. A VM has a screen if its manifest has display below ' +
        'spec.template.spec.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('-p, --port <port>', 'port of 127.0.0.1 (any that is free)', portArgument, 0);
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm vnc web
  novactl vm vnc web --port 5900
`,
  );
  command.action(async (name: string, { port, ...options }: VncOptions) => {
    const ref = vmRef(name, options);
    const { VncListener } = await import('../../console/vnc-listener.ts');
    await withAgent(io, command, async (client, call) => {
      await using listener = await VncListener.start({
        consoles: client.consoles,
        ref,
        port,
        signal: call.signal,
        tell: (text) => io.stderr.write(`${text}\n`),
      });
      io.stdout.write(
        `The screen of VM ${vmWords(ref)} is at 127.0.0.1:${listener.port}: vncviewer 127.0.0.1::${listener.port}\n`,
      );
      io.stderr.write('Ctrl-C ends it\n');
      await listener.ended;
    });
  });
}

function portArgument(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= MAX_PORT) return port;
  throw new InvalidArgumentError(`It must be a port from 1 to ${MAX_PORT}.`);
}
