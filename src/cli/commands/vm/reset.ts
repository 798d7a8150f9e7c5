import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmResetCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('reset')
    .summary('reset a VM as the button on its case would')
    .description(
      'Resets the hardware of a VM: the guest begins anew and may lose what it has not written. One that is paused ' +
        'stays so, and begins when it is resumed. To ask the guest instead: novactl vm reboot.',
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm reset web
  novactl vm reset web && novactl vm log web --follow
`,
  );
  command.action((name: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.reset(ref, call),
      done: 'reset',
    }),
  );
}
