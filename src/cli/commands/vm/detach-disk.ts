import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { volumeArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { vmName } from '../../views/vm-view.ts';
import { addSpecChangeOptions, runSpecChange, type SpecChangeOptions } from './spec-change.ts';

export function addVmDetachDiskCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('detach-disk')
    .summary('take a disk from a VM, while it runs')
    .description(
      'Takes a volume out of the manifest of a VM, and asks its guest to let go of it: the disk is its until then. What is on the ' +
        'disk stays, also of one that the agent has made. Unmount it in the guest first.',
    );
  addSpecChangeOptions(command)
    .argument('<volume>', 'name of the volume', volumeArgument)
    .addHelpText(
      'after',
      `
Examples:
  novactl vm detach-disk web data
  novactl vm detach-disk web data --timeout 5m
`,
    );
  command.action((name: string, volume: string, options: SpecChangeOptions) =>
    runSpecChange(io, command, name, options, (machine, vm) => {
      const volumes = machine.volumes ?? [];
      if (!volumes.some((one) => one.name === volume)) {
        const names = volumes.map((one) => one.name);
        const known = names.length === 0 ? 'it has none' : `it has: ${names.join(', ')}`;
        throw new AgentError(
          'INVALID_REQUEST',
          `Cannot detach ${volume} from VM ${vmName(vm)}: its manifest has no volume of that name; ${known}`,
        );
      }
      return {
        machine: { ...machine, volumes: volumes.filter((one) => one.name !== volume) },
        fields: ['volumes'],
      };
    }),
  );
}
