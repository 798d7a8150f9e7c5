import type { Command } from 'commander';
import { volumeArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

interface EjectOptions extends VmVerbOptions {
  readonly force?: boolean;
}

export function addVmEjectCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('eject')
    .summary('take out what is in a drive')
    .description(
      'Takes out what is in a drive, a volume of kind cdrom, now and for the next start: its manifest has no source for ' +
        'it then. An empty drive counts as done.',
    );
  addVmVerbOptions(command)
    .argument('<volume>', 'name of the volume', volumeArgument)
    .option('--force', 'also if the guest holds the drive shut')
    .addHelpText(
      'after',
      `
Examples:
  novactl vm eject web setup
  novactl vm eject web setup --force
`,
    );
  command.action((name: string, volume: string, options: EjectOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.eject(ref, volume, { ...call, force: options.force }),
      done: {
        EJECTED: `has nothing in ${volume} any more`,
        ALREADY_EMPTY: `had nothing in ${volume}`,
      },
    }),
  );
}
