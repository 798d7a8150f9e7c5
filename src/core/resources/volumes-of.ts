import { parseBytes } from '../quantity.ts';
import type { Machine } from './machine.ts';
import { formatOf, type Volume } from './volume.ts';

/** What the disk of `resources.disk` is called. */
export const ROOT_VOLUME = 'root';

/** What disks are made of, and guests count them in. */
const SECTOR_BYTES = 512;

/** The disks and drives of a machine, with that of `resources.disk` or `image`, which is the first one unless the volumes have it. */
export function volumesOf({
  resources,
  image,
  volumes = [],
}: Pick<Machine, 'resources' | 'image' | 'volumes'>) {
  const { disk } = resources;
  if (disk === undefined && image === undefined) return volumes;
  const made = {
    ...(disk === undefined ? {} : { size: disk }),
    ...(image === undefined ? {} : { source: { image } }),
  };
  const own = volumes.find(({ name }) => name === ROOT_VOLUME);
  if (own === undefined) {
    const root: Volume = { name: ROOT_VOLUME, kind: 'disk', cache: 'none', ...made };
    return [root, ...volumes];
  }
  // One that is found already, or is nothing that could be made, stays as it is.
  if (own.source !== undefined) return volumes;
  if (own.size !== undefined && disk !== undefined) return volumes;
  return volumes.map((volume) => (volume === own ? { ...own, ...made } : volume));
}

/** Where a manifest says of a volume what there is to be said, below the machine. */
export function volumeFieldOf(
  { resources, volumes = [] }: Pick<Machine, 'resources' | 'volumes'>,
  name: string,
): string {
  const index = volumes.findIndex((volume) => volume.name === name);
  if (index >= 0) return `volumes[${index}]`;
  return resources.disk === undefined ? 'image' : 'resources.disk';
}

/** Where it says which image a volume is made from. */
export function imageFieldOf({ volumes = [] }: Pick<Machine, 'volumes'>, name: string): string {
  const index = volumes.findIndex(({ name: own, source }) => own === name && source?.image);
  return index < 0 ? 'image' : `volumes[${index}].source.image`;
}

/** Where it says of its size. */
export function sizeFieldOf(machine: Pick<Machine, 'resources' | 'volumes'>, name: string): string {
  const field = volumeFieldOf(machine, name);
  return field === 'resources.disk' ? field : `${field}.size`;
}

/** Whether the agent makes it. */
export function isMadeByAgent({ source, size, kind }: Volume): boolean {
  if (kind !== 'disk') return false;
  return source === undefined ? size !== undefined : source.image !== undefined;
}

/** Whether the agent copies its image into it, so that it stands on none. */
export function isCopiedFromImage(volume: Volume): boolean {
  const image = volume.source?.image;
  if (!isMadeByAgent(volume) || image === undefined) return false;
  return formatOf(volume) === 'raw' || image.clone === 'full';
}

/** Bytes that the guest of a disk of this size sees: whole sectors. */
export function diskBytesOf(size: string): number {
  return wholeSectors(Number(parseBytes(size) ?? 0n));
}

/** Bytes of a disk that has at least so many. */
export function wholeSectors(bytes: number): number {
  return Math.ceil(bytes / SECTOR_BYTES) * SECTOR_BYTES;
}
