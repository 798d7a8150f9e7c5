import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { durationArgument } from '../../../input/argument-parsers.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import type { CliIo } from '../../../process/cli-io.ts';

interface FreezeOptions extends NamespaceOptions {
  readonly timeout?: number;
}

export function addVmGuestFreezeCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('freeze')
    .summary('hold the writes to the file systems of a guest')
    .description(
      'Has a guest write out its file systems and hold all writes to them, so that a copy of its disks is consistent. It is thawed by ' +
        '"novactl vm guest thaw", and by itself when the time is over, whatever happens to novactl or the agent. Freezing it once more ' +
        'begins the time anew. While it is frozen, the VM is not migrated, and programs in it that write stand still.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option('--timeout <duration>', 'thaw it after this, 1s to 10m (60s)', durationArgument);
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm guest freeze web --timeout 30s && ./backup.sh; novactl vm guest thaw web
`,
  );
  command.action(async (name: string, options: FreezeOptions) => {
    const { timestampText } = await import('../../../output/documents.ts');
    const ref = vmRef(name, options);
    await withAgent(io, command, async (client, call) => {
      const asked = { ...call, timeoutMs: options.timeout };
      const { fileSystems, freeze } = await client.guests.freeze(ref, asked);
      const vm = `VM ${ref.namespace || 'default'}/${ref.name}`;
      const until = `until ${timestampText(freeze?.deadline) ?? 'its time is over'}`;
      io.stdout.write(
        fileSystems === undefined
          ? `The guest of ${vm} was frozen already; it stays so ${until}\n`
          : `The guest of ${vm} is frozen, ${countText(fileSystems)}, ${until}\n`,
      );
    });
  });
}

function countText(fileSystems: number): string {
  return fileSystems === 1 ? '1 file system' : `${fileSystems} file systems`;
}
