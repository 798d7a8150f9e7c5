import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmStartCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('start')
    .summary('start a stopped VM')
    .description(
      'Starts a stopped VM and waits until it runs. One that runs already counts as started; one that is paused ' +
        'is let go on with: novactl vm resume.',
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm start web
  novactl operation watch $(novactl vm start web --no-wait)
`,
  );
  command.action((name: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.start(ref, call),
      done: 'started',
    }),
  );
}
