import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmResumeCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('resume')
    .summary('let a paused VM go on')
    .description(
      'Lets a VM go on that is paused, whatever has paused it: novactl vm suspend, virsh, a full disk, a guest that ' +
        'sleeps. One that runs counts as resumed; one that stops again at once does not.',
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm resume web
`,
  );
  command.action((name: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.resume(ref, call),
      done: 'resumed',
    }),
  );
}
