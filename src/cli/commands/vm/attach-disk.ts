import type { Command } from 'commander';
import { Option } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { nodePathArgument, sizeArgument, volumeArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { vmName } from '../../views/vm-view.ts';
import {
  addSpecChangeOptions,
  type MachineDocument,
  runSpecChange,
  type SpecChangeOptions,
} from './spec-change.ts';

interface AttachOptions extends SpecChangeOptions {
  readonly size?: string;
  readonly file?: string;
  readonly block?: string;
  readonly image?: string;
  readonly digest?: string;
  readonly format?: string;
  readonly bus?: string;
  readonly serial?: string;
  readonly readOnly?: boolean;
  readonly shared?: boolean;
}

type VolumeDocument = NonNullable<MachineDocument['volumes']>[number];

export function addVmAttachDiskCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('attach-disk')
    .summary('give a VM a disk, while it runs')
    .description(
      'Gives a VM one more disk, now and for its next starts: its manifest has it as a volume from then on. It is a new, empty one ' +
        '(--size), one made from an image (--image), a file (--file) or a block device (--block) of the node. The guest knows it by ' +
        'its serial number, which is the name of the volume unless --serial says another: /dev/disk/by-id/virtio-NAME.',
    );
  addSpecChangeOptions(command)
    .argument('<volume>', 'name that the volume is to have', volumeArgument)
    .option('--size <size>', 'size of a disk that is made, such as 20Gi', sizeArgument)
    .option('--image <address>', 'what it is made from, such as https://images.example/data.qcow2')
    .option('--digest <digest>', 'of the image, sha256:…')
    .option('--file <path>', 'a file of the node; needs --format', nodePathArgument)
    .option('--block <path>', 'a block device of the node', nodePathArgument)
    .addOption(new Option('--format <format>', 'format of the content').choices(['raw', 'qcow2']))
    .addOption(
      new Option('--bus <bus>', 'how it is attached; virtio if left out').choices([
        'virtio',
        'scsi',
        'sata',
      ]),
    )
    .option('--serial <serial>', 'serial number that the guest sees')
    .option('--read-only', 'the guest cannot write to it')
    .option('--shared', 'it is on storage that all nodes reach, so that the VM can be moved')
    .addHelpText(
      'after',
      `
Examples:
  novactl vm attach-disk web data --size 20Gi
  novactl vm attach-disk web old --file /var/lib/libvirt/images/old.qcow2 --format qcow2 --read-only
  novactl vm attach-disk web data --size 20Gi --dry-run

With --bus sata the guest has it from its next start on: that bus takes nothing while it runs.
`,
    );
  command.action((name: string, volume: string, options: AttachOptions) => {
    const wanted = toVolume(command, volume, options);
    return runSpecChange(io, command, name, options, (machine, vm) => {
      const volumes = machine.volumes ?? [];
      if (volumes.some((one) => one.name === volume)) {
        throw new AgentError(
          'INVALID_REQUEST',
          `Cannot attach ${volume} to VM ${vmName(vm)}: it has a volume of that name; choose another name, or change that one with novactl vm edit`,
        );
      }
      return { machine: { ...machine, volumes: [...volumes, wanted] }, fields: ['volumes'] };
    });
  });
}

function toVolume(command: Command, name: string, options: AttachOptions): VolumeDocument {
  const { size, file, block, image, digest, format, bus, serial, readOnly, shared } = options;
  const sources = [file, block, image].filter((one) => one !== undefined).length;
  if (sources > 1 || (sources === 0 && size === undefined)) {
    command.error(
      'error: give one of --size, --image, --file and --block; --size goes with --image',
    );
  }
  if (size !== undefined && (file ?? block) !== undefined) {
    command.error('error: --size is of a disk that is made; what is there has its own');
  }
  if (file !== undefined && format === undefined) {
    command.error('error: --file needs --format, raw or qcow2: it is never guessed');
  }
  if (digest !== undefined && image === undefined) {
    command.error('error: --digest is that of an --image');
  }
  const source = {
    ...(file !== undefined && { file: { path: file } }),
    ...(block !== undefined && { block: { path: block } }),
    ...(image !== undefined && { image: { source: image, ...(digest && { digest }) } }),
  };
  return {
    name,
    ...(size !== undefined && { size }),
    ...(sources > 0 && { source }),
    ...(format !== undefined && { format }),
    ...(bus !== undefined && { bus }),
    ...(serial !== undefined && { serial }),
    ...(readOnly === true && { readOnly }),
    ...(shared === true && { shared }),
  } as VolumeDocument;
}
