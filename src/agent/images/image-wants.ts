import type { ImageSource } from '../../core/resources/image-source.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { isMadeByAgent, volumesOf } from '../../core/resources/volumes-of.ts';
import type { ImageWant } from './image.ts';

export function wantOf({ source, digest, format, pullPolicy }: ImageSource): ImageWant {
  return { source, digest, isRaw: format === 'raw', pullPolicy: pullPolicy ?? 'IfNotPresent' };
}

/** The images that disks of a machine are made from, by volume, but for those that are there. */
export function wantsOf(
  machine: Machine,
  isMade: (volumeName: string) => boolean,
): readonly ImageWant[] {
  return volumesOf(machine)
    .filter((volume) => isMadeByAgent(volume) && !isMade(volume.name))
    .flatMap(({ source }) => (source?.image === undefined ? [] : [wantOf(source.image)]));
}
