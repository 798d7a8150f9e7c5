import type { ImageSource } from '../../core/resources/image-source.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { isMadeByAgent, volumesOf } from '../../core/resources/volumes-of.ts';
import type { ImageWant } from './image.ts';

/** Finds a secret that came with the request. */
type FindGiven = (name: string) => Uint8Array | undefined;

export function wantOf(
  { source, digest, format, pullPolicy = 'IfNotPresent', auth: name }: ImageSource,
  findGiven: FindGiven,
): ImageWant {
  const auth = name === undefined ? undefined : { name, given: findGiven(name) };
  return { source, digest, isRaw: format === 'raw', pullPolicy, auth };
}

/** The images that disks of a machine are made from, by volume, but for those that are there. */
export function wantsOf(
  machine: Machine,
  isMade: (volumeName: string) => boolean,
  findGiven: FindGiven,
): readonly ImageWant[] {
  return volumesOf(machine)
    .filter((volume) => isMadeByAgent(volume) && !isMade(volume.name))
    .flatMap(({ source }) =>
      source?.image === undefined ? [] : [wantOf(source.image, findGiven)],
    );
}
