import { type Command, InvalidArgumentError } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { parseMilliCpus } from '../../../core/quantity.ts';
import { sizeArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { type VmDocument, vmName } from '../../views/vm-view.ts';
import {
  addSpecChangeOptions,
  type MachineDocument,
  runSpecChange,
  type SpecChange,
  type SpecChangeOptions,
} from './spec-change.ts';

interface ResizeOptions extends SpecChangeOptions {
  readonly cpus?: string;
  readonly memory?: string;
  /** Sizes by volume. */
  readonly disk?: ReadonlyMap<string, string>;
}

/** The disk that `resources.disk` makes. */
const ROOT = 'root';

export function addVmResizeCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('resize')
    .summary('change how much a VM has: CPUs, memory, sizes of disks')
    .description(
      'Changes how many CPUs a VM has, how much memory, and makes its disks larger: while it runs where that is possible, else from ' +
        'its next start on. It says which, and waits until the guest has done its part.',
    );
  addSpecChangeOptions(command)
    .option('--cpus <number>', 'CPUs, such as 4', cpusArgument)
    .option('--memory <size>', 'memory, such as 8Gi', sizeArgument)
    .option(
      '--disk <volume=size>',
      'size of a disk that the agent has made, such as data=40Gi; may be given again for another',
      diskArgument,
    )
    .addHelpText(
      'after',
      `
Examples:
  novactl vm resize web --cpus 4 --memory 8Gi --dry-run
  novactl vm resize web --memory 8Gi
  novactl vm resize web --disk root=40Gi --disk data=200Gi

While it runs a VM has at most what spec.template.spec.cpu.max and memory.max were when it was started. It gives memory back at any
time, where its guest has a balloon; CPUs only with KVM, and where cpu.max was set. Disks are never made smaller.
`,
    );
  command.action((name: string, options: ResizeOptions) => {
    const { cpus, memory, disk } = options;
    if (cpus === undefined && memory === undefined && disk === undefined) {
      command.error('error: say what is to change: --cpus, --memory or --disk');
    }
    return runSpecChange(io, command, name, options, (machine, vm) =>
      resized(machine, options, vm),
    );
  });
}

function resized(
  machine: MachineDocument,
  { cpus, memory, disk = new Map() }: ResizeOptions,
  vm: VmDocument,
): SpecChange {
  const { resources, image, volumes = [] } = machine;
  const isOfResources = (volume: string) =>
    volume === ROOT &&
    !volumes.some(({ name, size }) => name === ROOT && size !== undefined) &&
    (resources.disk !== undefined || image !== undefined);
  for (const volume of disk.keys()) {
    const has = volumes.some((one) => one.name === volume && isMade(one));
    if (!has && !isOfResources(volume)) throw noSuchDisk(volume, machine, vm);
  }
  const rootSize = [...disk].find(([volume]) => isOfResources(volume))?.[1];
  const ofVolumes = [...disk.keys()].some((volume) => !isOfResources(volume));
  return {
    machine: {
      ...machine,
      resources: {
        ...resources,
        ...(cpus !== undefined && { cpu: cpus }),
        ...(memory !== undefined && { memory }),
        ...(rootSize !== undefined && { disk: rootSize }),
      },
      ...(ofVolumes && {
        volumes: volumes.map((volume) => {
          const size = isOfResources(volume.name) ? undefined : disk.get(volume.name);
          return size === undefined ? volume : { ...volume, size };
        }),
      }),
    },
    fields: [
      ...(cpus === undefined ? [] : ['resources.cpu']),
      ...(memory === undefined ? [] : ['resources.memory']),
      ...(rootSize === undefined ? [] : ['resources.disk']),
      ...(ofVolumes ? ['volumes'] : []),
    ],
  };
}

function noSuchDisk(
  volume: string,
  { resources, image, volumes = [] }: MachineDocument,
  vm: VmDocument,
): AgentError {
  const names = [
    ...(resources.disk === undefined && image === undefined ? [] : [ROOT]),
    ...volumes.filter(isMade).map(({ name }) => name),
  ];
  const known = names.length === 0 ? 'it has none' : `it has: ${[...new Set(names)].join(', ')}`;
  return new AgentError(
    'INVALID_REQUEST',
    `Cannot resize ${volume} of VM ${vmName(vm)}: the agent has made no disk of that name; ${known}`,
  );
}

type VolumeDocument = NonNullable<MachineDocument['volumes']>[number];

function isMade({ size, source }: VolumeDocument): boolean {
  return size !== undefined || source?.image !== undefined;
}

function cpusArgument(text: string): string {
  if (parseMilliCpus(text) !== undefined) return text;
  throw new InvalidArgumentError('It must be a number of CPUs such as 4.');
}

function diskArgument(
  text: string,
  before: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, string> {
  const [, volume, size] = /^([a-z0-9-]+)=(.+)$/.exec(text) ?? [];
  if (volume === undefined || size === undefined) {
    throw new InvalidArgumentError('It must be VOLUME=SIZE, such as data=40Gi.');
  }
  return new Map([...(before ?? []), [volume, sizeArgument(size)]]);
}
