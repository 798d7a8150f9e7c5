import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmDestroyCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('destroy')
    .summary('cut the power of a VM')
    .description(
      'Cuts the power of a VM. The guest may lose what it has not written; the VM itself stays. A shutdown that ' +
        'waits for the guest gives way to it.',
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm destroy web
`,
  );
  command.action((name: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.destroy(ref, call),
      done: 'cut off',
    }),
  );
}
