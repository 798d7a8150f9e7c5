import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { whyEnded } from '../../console/why-ended.ts';
import { bytesArgument } from '../../input/argument-parsers.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface LogOptions extends NamespaceOptions {
  readonly tail?: bigint;
  readonly follow?: boolean;
}

export function addVmLogCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('log')
    .summary('what a guest wrote to its console')
    .description('Prints what the guest wrote to its first serial console, byte by byte.')
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('--tail <bytes>', 'only the last so many bytes, such as 4Ki', bytesArgument)
    .option('-F, --follow', 'go on with new output until the VM is off or gone, or Ctrl-C');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm log web --tail 4Ki
  novactl vm log web --follow
`,
  );
  command.action(async (name: string, options: LogOptions) => {
    await withAgent(io, command, async (client, call) => {
      const { tail: tailBytes, follow = false } = options;
      const ref = vmRef(name, options);
      const wanted = { signal: call.signal, tailBytes, follow };
      for await (const data of client.vms.readConsole(ref, wanted)) {
        io.stdout.write(data);
        if (io.stdout.fault !== undefined) return;
      }
      if (!follow) return;
      const end = await whyEnded(client.vms.get(ref, call));
      io.stderr.write(
        `The console of VM ${ref.namespace || 'default'}/${ref.name} has ended: ${end}\n`,
      );
    });
  });
}
