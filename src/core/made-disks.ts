import { isRecord } from './is-record.ts';
import { formatBytesQuantity } from './quantity.ts';
import type { Machine } from './resources/machine.ts';
import type { VmSpec } from './resources/virtual-machine.ts';
import type { VolumeFormat } from './resources/volume.ts';
import { isMadeByAgent, ROOT_VOLUME, volumesOf } from './resources/volumes-of.ts';

/** A disk that an agent has made for a VM. What its guest has written to it stays in it, whatever the manifest says later. */
export interface MadeDisk {
  /** On the node, or on all that have its storage. */
  readonly path: string;
  readonly format: VolumeFormat;
  /** Its size, as its guest sees it. */
  readonly bytes: number;
  /** What it was made from; undefined for one that was made empty. */
  readonly image?: DiskImage | undefined;
  /** That it is encrypted, and what the secret with its key was called; undefined if it is not. */
  readonly encryption?: { readonly secret: string } | undefined;
}

/** The image that a disk was made from, once and for all. */
export interface DiskImage {
  /** Where it was found, as the manifest says. */
  readonly source: string;
  /** Of the content there, `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  /** A qcow2 disk stands on this file, unless it is a copy; what is in it has been copied into a raw one. */
  readonly path: string;
  readonly format: VolumeFormat;
  /** Its size, as a guest would see it. */
  readonly bytes: number;
  /** Of a qcow2 disk: whether what is in the image has been copied into it. */
  readonly isCopied?: true | undefined;
}

/** The image that was copied into a disk, or is to be; undefined for one that stands on its image, or has none. */
export function copiedImageOf({ format, image }: MadeDisk): DiskImage | undefined {
  return format === 'raw' || image?.isCopied === true ? image : undefined;
}

/**
 * The image that is copied beside a disk before that is made; undefined where there is none, and of an encrypted disk, whose image is
 * copied as it is made: its key is known only then.
 */
export function imageToCopy(disk: MadeDisk & { readonly key?: unknown }): DiskImage | undefined {
  const isEncrypted = disk.encryption !== undefined || disk.key !== undefined;
  return isEncrypted ? undefined : copiedImageOf(disk);
}

/** The image that a disk stands on; undefined for one that stands on none. */
export function imageBehind(disk: MadeDisk): DiskImage | undefined {
  return copiedImageOf(disk) === undefined ? disk.image : undefined;
}

/** By the name of the volume. Also of those that the VM has no longer: what is on them is the VM's. */
export type MadeDisks = Readonly<Record<string, MadeDisk>>;

/** That of a volume; names are the user's, and may be those of what every object has. */
export function madeDiskOf(madeDisks: MadeDisks, volumeName: string): MadeDisk | undefined {
  return Object.hasOwn(madeDisks, volumeName) ? madeDisks[volumeName] : undefined;
}

/** The machine of a VM with the files of the disks that were made for it. */
export function resolvedMachine({
  spec,
  madeDisks,
}: {
  readonly spec: VmSpec;
  readonly madeDisks: MadeDisks;
}): Machine {
  return withMadeDisks(spec.template.spec, madeDisks);
}

/** A machine with the files of the disks that were made for it, as if its manifest had named them. */
export function withMadeDisks(machine: Machine, madeDisks: MadeDisks): Machine {
  const volumes = volumesOf(machine).map((volume) => {
    const made = madeDiskOf(madeDisks, volume.name);
    if (made === undefined || !isMadeByAgent(volume)) return volume;
    const { size: _, ...rest } = volume;
    return { ...rest, source: { file: { path: made.path } }, format: made.format };
  });
  if (machine.volumes === undefined && volumes.length === 0) return machine;
  const { image: _image, ...rest } = machine;
  const { disk: _disk, ...resources } = machine.resources;
  return { ...rest, resources, volumes };
}

/** A machine with the sizes of its disks where it has left them to their images and another one says them: what that changes is a size. */
export function withSizesSaid(machine: Machine, madeDisks: MadeDisks, next: Machine): Machine {
  const sizeOf = (name: string, isLeftOpen: boolean, isSaid: boolean): string | undefined => {
    const bytes = isLeftOpen && isSaid ? madeDiskOf(madeDisks, name)?.bytes : undefined;
    return bytes === undefined ? undefined : formatBytesQuantity(BigInt(bytes));
  };
  const { resources, image, volumes } = machine;
  const isOfImage = image !== undefined && resources.disk === undefined;
  const disk = sizeOf(ROOT_VOLUME, isOfImage, next.resources.disk !== undefined);
  return {
    ...machine,
    ...(disk !== undefined && { resources: { ...resources, disk } }),
    ...(volumes && {
      volumes: volumes.map((volume) => {
        const isLeftOpen = volume.source?.image !== undefined && volume.size === undefined;
        const isSaid = next.volumes?.some(
          ({ name, size }) => name === volume.name && size !== undefined,
        );
        const size = sizeOf(volume.name, isLeftOpen, isSaid === true);
        return size === undefined ? volume : { ...volume, size };
      }),
    }),
  };
}

/** What a text of JSON means; what of it is none of these is left out. */
export function parseMadeDisks(text: string): MadeDisks {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return {};
  }
  if (!isRecord(document)) return {};
  return Object.fromEntries(
    Object.entries(document).flatMap(([name, value]) => {
      const disk = toMadeDisk(value);
      return disk === undefined ? [] : [[name, disk]];
    }),
  );
}

function toMadeDisk(value: unknown): MadeDisk | undefined {
  if (!isRecord(value)) return undefined;
  const { path, format, bytes } = value;
  if (!isDiskFile(path, format) || typeof bytes !== 'number') return undefined;
  const image = toDiskImage(value['image']);
  const { encryption } = value;
  const isEncrypted = isRecord(encryption) && typeof encryption['secret'] === 'string';
  return {
    path,
    format,
    bytes,
    ...(image === undefined ? {} : { image }),
    ...(isEncrypted && { encryption: { secret: encryption['secret'] } }),
  } as MadeDisk;
}

function toDiskImage(value: unknown): DiskImage | undefined {
  if (!isRecord(value)) return undefined;
  const { source, digest, path, format, bytes } = value;
  if (!isDiskFile(path, format) || typeof bytes !== 'number') return undefined;
  if (typeof source !== 'string' || typeof digest !== 'string') return undefined;
  const isCopied = value['isCopied'] === true;
  return { source, digest, path, format, bytes, ...(isCopied && { isCopied }) } as DiskImage;
}

function isDiskFile(path: unknown, format: unknown): boolean {
  return (
    typeof path === 'string' && path.startsWith('/') && (format === 'raw' || format === 'qcow2')
  );
}
