import { access, constants } from 'node:fs/promises';
import type { ImageProblem } from '../images.ts';

const INSTEAD = 'or say readOnly: true of the volume, if the guest need not write to it';

/** Why nobody on this host can write to a file or device, whoever asks; as root one sees nothing else. */
export async function findWriteProblem(real: string): Promise<ImageProblem | undefined> {
  try {
    await access(real, constants.W_OK);
    return undefined;
  } catch (error) {
    const text = textOf((error as NodeJS.ErrnoException).code, real);
    return text === undefined
      ? undefined
      : { reason: 'IMAGE_NOT_READABLE', text: `${text}, ${INSTEAD}` };
  }
}

function textOf(code: string | undefined, real: string): string | undefined {
  switch (code) {
    case 'EROFS':
      return 'it is to be written to, and its file system is mounted read-only on this node; mount that for writing';
    case 'EPERM':
      return `it is to be written to, and is immutable; end that with: chattr -i ${real}`;
    default:
      return undefined;
  }
}
