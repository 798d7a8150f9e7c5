import { constants } from 'node:fs';
import { access, mkdir } from 'node:fs/promises';
import { codeOf } from '../../core/file-words.ts';
import { PkiError } from './pki-error.ts';

/** For its owner only, as all that holds keys. One that is there keeps its mode. */
export async function makePrivateFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
  } catch (error) {
    const code = codeOf(error);
    const fix =
      code === 'EROFS'
        ? 'Its file system is mounted read-only: name another folder, or make it writable with mount -o remount,rw'
        : 'Name one that can be written, or run it as root';
    throw new PkiError(`Cannot write to the folder ${folder} (${code})`, fix, { cause: error });
  }
}
