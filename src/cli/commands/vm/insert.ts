import type { Command } from 'commander';
import { nodePathArgument, volumeArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmInsertCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('insert')
    .summary('put an image into a drive')
    .description(
      'Puts an image of the node into an empty drive, a volume of kind cdrom, now and for the next start: its manifest ' +
        'has it as source then.',
    );
  addVmVerbOptions(command)
    .argument('<volume>', 'name of the volume', volumeArgument)
    .argument(
      '<path>',
      'of the image, on the node, in one of its folders for images',
      nodePathArgument,
    )
    .addHelpText(
      'after',
      `
Examples:
  novactl vm insert web setup /var/lib/libvirt/images/debian.iso
`,
    );
  command.action((name: string, volume: string, path: string, options: VmVerbOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.insert(ref, volume, path, call),
      done: {
        INSERTED: `has ${path} in ${volume}`,
        ALREADY_INSERTED: `had ${path} in ${volume} already`,
      },
    }),
  );
}
