import { parseBytes } from '../quantity.ts';
import type { Machine } from './machine.ts';
import type { Volume } from './volume.ts';

/** What the disk of `resources.disk` is called. */
export const ROOT_VOLUME = 'root';

/** What disks are made of, and guests count them in. */
const SECTOR_BYTES = 512n;

/** The disks and drives of a machine, with that of `resources.disk`, which is the first one unless the volumes have it. */
export function volumesOf({ resources, volumes = [] }: Pick<Machine, 'resources' | 'volumes'>) {
  const { disk } = resources;
  if (disk === undefined) return volumes;
  const own = volumes.find(({ name }) => name === ROOT_VOLUME);
  if (own === undefined) {
    const root: Volume = { name: ROOT_VOLUME, kind: 'disk', cache: 'none', size: disk };
    return [root, ...volumes];
  }
  // One that is found already, or is nothing that could be made, stays as it is.
  if (own.source !== undefined || own.size !== undefined) return volumes;
  return volumes.map((volume) => (volume === own ? { ...own, size: disk } : volume));
}

/** Where a manifest says of a volume what there is to be said, below the machine. */
export function volumeFieldOf({ volumes = [] }: Pick<Machine, 'volumes'>, name: string): string {
  const index = volumes.findIndex((volume) => volume.name === name);
  return index < 0 ? 'resources.disk' : `volumes[${index}]`;
}

/** Whether the agent makes it. */
export function isMadeByAgent(volume: Volume): volume is Volume & { readonly size: string } {
  return volume.source === undefined && volume.size !== undefined && volume.kind === 'disk';
}

/** Bytes that the guest of a disk of this size sees: whole sectors. */
export function diskBytesOf(size: string): number {
  const bytes = parseBytes(size) ?? 0n;
  return Number(((bytes + SECTOR_BYTES - 1n) / SECTOR_BYTES) * SECTOR_BYTES);
}
