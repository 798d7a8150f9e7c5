import type { FieldViolation } from '../../core/errors.ts';
import type { MadeDisk } from '../../core/made-disks.ts';
import type { Machine } from '../../core/resources/machine.ts';
import type { Volume } from '../../core/resources/volume.ts';
import { MACHINE } from './file-violations.ts';

/** That a disk which is made is to have another key, or to be encrypted no more or from now on. */
export function* otherKey(
  { name, encryption }: Pick<Volume, 'name' | 'encryption'>,
  { path, encryption: made }: MadeDisk,
  { volumes = [] }: Pick<Machine, 'volumes'>,
): Generator<FieldViolation> {
  if (made?.secret === encryption?.secret) return;
  const index = volumes.findIndex((volume) => volume.name === name);
  const volumeField = index < 0 ? `${MACHINE}.volumes` : `${MACHINE}.volumes[${index}]`;
  const another = 'or add another volume, and move there what is on this one';
  if (made === undefined) {
    const description = `is given, and the disk ${path} was made without: the agent cannot encrypt a disk that is there; leave it out, ${another}`;
    yield { field: `${volumeField}.encryption`, description };
  } else if (encryption === undefined) {
    const [field, words] =
      index < 0
        ? [volumeField, `has no encryption for ${name}`]
        : [`${volumeField}.encryption`, 'is left out'];
    const description = `${words}, and the disk ${path} was made encrypted, with the key in the secret ${made.secret}: the agent cannot decrypt a disk that is there; say so again (encryption: {secret: ${made.secret}}), ${another}`;
    yield { field, description };
  } else {
    const description = `is ${encryption.secret}, and the disk ${path} was made with the key in the secret ${made.secret}: the agent cannot give a disk another key yet; leave it at ${made.secret}, whatever has become of that secret since, ${another}`;
    yield { field: `${volumeField}.encryption.secret`, description };
  }
}
