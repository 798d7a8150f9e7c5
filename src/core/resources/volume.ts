import * as z from '../zod.ts';
import { absolutePath, bytesQuantity, choice, dnsLabel } from './field-schemas.ts';
import { imageSource } from './image-source.ts';
import { ioLimits } from './io-limits.ts';
import { secretName } from './secret-name.ts';

/** Guest devices have a letter each. */
export const MAX_VOLUMES = 26;
/** More than one for each disk are of no use. */
export const MAX_IOTHREADS = 26;

const volumeSource = z
  .strictObject({
    file: z
      .strictObject({
        path: absolutePath.meta({
          description: "Absolute path in one of the node's folders for images; it must exist.",
        }),
      })
      .optional()
      .meta({ description: 'A file of the node.' }),
    block: z
      .strictObject({
        path: absolutePath.meta({
          description: 'Absolute path of one that the node lets VMs have; it must exist.',
        }),
      })
      .optional()
      .meta({ description: 'A block device of the node, given to QEMU as a device.' }),
    volume: z
      .strictObject({ name: dnsLabel.meta({ description: 'Its name.' }) })
      .optional()
      .meta({
        description: 'A volume that the agent keeps.',
        notSupported: 'the agent keeps no volumes yet; name a file or a block device',
      }),
    image: imageSource.optional().meta({
      description:
        'A disk that is made from an image, once, see [images](../images.md), of its size or of `size`; as qcow2 it stands on the image and takes only what its guest writes, as raw it is a copy.',
    }),
  })
  .refine((source) => Object.values(source).filter((part) => part !== undefined).length === 1, {
    error: 'must be exactly one of file, block, volume and image',
  })
  .meta({ oneof: 'source' });

/** A disk or CD-ROM of a machine. */
export const volume = z.strictObject({
  name: dnsLabel.meta({ description: 'Unique within the VM.' }),
  size: bytesQuantity.optional().meta({
    description:
      'Size of a disk that the agent makes, empty in the place of a source, or from an image: 1Mi to 64Ti, rounded up to whole sectors of 512 bytes.',
  }),
  storageClass: z.string().min(1).optional().meta({
    description: 'Kubernetes StorageClass.',
    notSupported:
      "only a cluster can resolve a storage class; leave it out for a disk in the node's folder",
  }),
  accessMode: choice('ACCESS_MODE', ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany'])
    .optional()
    .meta({
      description: 'Kubernetes access mode.',
      notApplicable: 'access modes are for volumes that a cluster provides',
    }),
  source: volumeSource.optional().meta({
    description:
      'What is behind it, one of file, block, volume and image. Without it a disk is made anew from size, and the drive of a cdrom is empty.',
  }),
  kind: choice('VOLUME_KIND', ['disk', 'cdrom']).default('disk').meta({
    description: 'What the guest sees.',
  }),
  bus: choice('VOLUME_BUS', ['virtio', 'scsi', 'sata', 'nvme']).optional().meta({
    description:
      'How it is attached: virtio unless given, sata for a cdrom. nvme, which keeps a VM from being moved live, needs libvirt 11.5.',
  }),
  format: choice('VOLUME_FORMAT', ['raw', 'qcow2']).optional().meta({
    description:
      'Format of the content. Required for a file, as it is never guessed; a block device is raw unless given, and a disk that the agent makes qcow2.',
  }),
  encryption: z
    .strictObject({
      secret: secretName.meta({
        description:
          "Name of a file in the node's folder of secrets (`/etc/novacron/secrets`) with the key: one line of text. Read when the disk is made; from then on the VM has it, and takes it along.",
      }),
    })
    .optional()
    .meta({
      description:
        'Keeps a disk that the agent makes encrypted on its storage (LUKS, in qcow2 or raw), see [disks](../disks.md); once it is made it cannot be changed.',
    }),
  target: z
    .string()
    .regex(
      /^((vd|sd)[a-z]|nvme(1?\d|2[0-5])n1)$/,
      'must be vda to vdz, sda to sdz on the buses scsi and sata, or nvme0n1 to nvme25n1 on nvme',
    )
    .optional()
    .meta({ description: 'Guest device such as vda. Given by the agent if left out.' }),
  readOnly: z.boolean().optional().meta({
    description: 'The guest cannot write to it. A cdrom always is.',
  }),
  shared: z.boolean().optional().meta({
    description:
      'The same storage is found under the same path on every node, so a migration need not copy it.',
  }),
  bootOrder: z.int().min(1, 'must be 1 or more').max(1000, 'must be at most 1000').optional().meta({
    description: '1 is tried first; without it, it is not booted from. Unique within the VM.',
  }),
  cache: choice('VOLUME_CACHE', ['none', 'writeback', 'writethrough', 'directsync'])
    .default('none')
    .meta({ description: 'Host cache mode.' }),
  io: choice('VOLUME_IO', ['threads', 'native', 'io_uring']).optional().meta({
    description:
      'How QEMU reads and writes it; native only with the cache modes none and directsync.',
  }),
  discard: choice('VOLUME_DISCARD', ['unmap', 'ignore']).optional().meta({
    description:
      'What becomes of blocks that the guest no longer needs: unmap, unless given, frees their space on the node.',
  }),
  errorPolicy: choice('VOLUME_ERROR_POLICY', ['stop', 'report', 'enospace']).optional().meta({
    description:
      'What becomes of the VM when the node cannot read or write it: stop, unless given, pauses it, see [disks](../disks.md); report tells its guest; enospace pauses it for want of room and reports the rest.',
  }),
  iotune: ioLimits.optional().meta({
    description:
      'Limits for how much the guest may read and write; none if left out, and those that somebody else has set stay.',
  }),
  iothread: z
    .int()
    .min(1, 'must be 1 or more')
    .max(MAX_IOTHREADS, `must be at most ${MAX_IOTHREADS}`)
    .optional()
    .meta({
      description:
        'Which of `iothreads` reads and writes it, from 1 on; only on the bus virtio. If left out, QEMU does in its main thread, and what somebody else has set stays.',
    }),
  serial: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,20}$/, 'must be 1 to 20 letters, digits, "-" or "_"')
    .optional()
    .meta({ description: 'Serial number that the guest sees. The name if left out.' }),
});

export type Volume = z.output<typeof volume>;
export type VolumeBus = NonNullable<Volume['bus']>;
export type VolumeFormat = NonNullable<Volume['format']>;

/** The bus that a volume is on. */
export function busOf({ bus, kind }: Pick<Volume, 'bus' | 'kind'>): VolumeBus {
  return bus ?? (kind === 'cdrom' ? 'sata' : 'virtio');
}

/** The format that QEMU reads a volume in. */
export function formatOf(volume: Pick<Volume, 'format' | 'size' | 'source'>): VolumeFormat {
  const isMade = volume.size !== undefined || volume.source?.image !== undefined;
  return volume.format ?? (isMade ? 'qcow2' : 'raw');
}

export function isReadOnly({ kind, readOnly }: Pick<Volume, 'kind' | 'readOnly'>): boolean {
  return kind === 'cdrom' || readOnly === true;
}

/** The path on the node that a volume is found under; undefined for one that has none yet. */
export function pathOf({ source }: Pick<Volume, 'source'>): string | undefined {
  return source?.file?.path ?? source?.block?.path;
}

/** The guest devices that there are on a bus, in their order. Each NVMe disk has a controller of its own, which has its serial number. */
export function targetsOn(bus: VolumeBus): readonly string[] {
  return Array.from({ length: MAX_VOLUMES }, (_, index) => {
    if (bus === 'nvme') return `nvme${index}n1`;
    return (bus === 'virtio' ? 'vd' : 'sd') + String.fromCharCode('a'.charCodeAt(0) + index);
  });
}
