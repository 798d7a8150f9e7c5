import { access } from 'node:fs/promises';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';

/** What storage, or a program that works on it, has failed with. */
export function storageError(verb: string, file: string, error: unknown): unknown {
  if (error instanceof AgentError) return error;
  const code = codeOf(error);
  const complaint = stderrOf(error);
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || saysFull(complaint);
  const why = complaint === '' ? (WORDS[code] ?? code) : complaint;
  return new AgentError(
    isFull ? 'STORAGE_FULL' : 'IMAGE_NOT_READABLE',
    `Cannot ${verb} ${file}: ${isFull ? FULL : why}`,
    { cause: error },
  );
}

export const FULL = 'its file system is full; make room there';

/** Whether a program has complained that there is no room. */
export function saysFull(complaint: string): boolean {
  return /No space left on device|Disk quota exceeded/.test(complaint);
}

export async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

const NO_FOLDER = 'it leads through a file that is no folder';

const WORDS: Readonly<Record<string, string>> = {
  EROFS: 'its file system is mounted read-only on this node; mount it for writing',
  EACCES: 'the agent may not write there, which root may; look at the export of that storage',
  EPERM: 'it is immutable, or in a folder that is; end that with chattr -i',
  EISDIR: 'it is a folder',
  EEXIST: NO_FOLDER,
  ENOTDIR: NO_FOLDER,
  EFBIG: 'its file system holds no file of that size; ask for less, or for the format qcow2',
};

/** What qemu-img says, without its name. */
function stderrOf(error: unknown): string {
  const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr) : '';
  return stderr.trim().replace(/^qemu-img: /, '');
}
