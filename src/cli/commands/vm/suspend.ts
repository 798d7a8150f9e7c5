import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmSuspendCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('suspend')
    .summary('stop the processors of a VM')
    .description(
      'Stops the processors of a VM: its guest stands still, and its memory and devices stay as they are. One that is ' +
        'paused already stays as it is. A paused VM can be resumed, not migrated.',
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm suspend web
  novactl vm suspend web --no-wait
`,
  );
  command.action((name: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.suspend(ref, call),
      done: 'suspended',
    }),
  );
}
