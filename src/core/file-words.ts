import { accessSync, constants, statSync } from 'node:fs';
import path from 'node:path';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'you may not read it',
  EISDIR: 'it is a folder',
  ENOTDIR: 'it leads through a file that is no folder',
};

/** Why a file of this machine could not be read, for people; the error's code where there are no words for that. */
export function whyUnreadable(cause: unknown): string {
  const code = codeOf(cause);
  return WORDS[code] ?? code;
}

/** The error's code; `error` where it has none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'error';
}

/**
 * Why nothing can be made or written in a folder, or in the one in which it would be made, and what to do: a sentence that goes on
 * after the folder's name. Undefined if it can. Blocks for as long as the file system does.
 */
export function folderProblem(folder: string): string | undefined {
  const found = nearestThere(folder);
  try {
    if (!statSync(found).isDirectory()) {
      return `${found === folder ? 'is' : `leads through ${found}, which is`} a file where a folder should be; move it away`;
    }
    accessSync(found, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return whyClosed(found, codeOf(error));
  }
}

/** The folder itself, or the nearest above it that is there. */
export function nearestThere(folder: string): string {
  let current = path.resolve(folder);
  while (statSync(current, { throwIfNoEntry: false }) === undefined && current !== '/') {
    current = path.dirname(current);
  }
  return current;
}

function whyClosed(folder: string, code: string): string {
  if (code === 'EROFS') {
    return 'is on a file system that is mounted read-only; look why with dmesg, and make it writable: mount -o remount,rw';
  }
  if (code !== 'EACCES' && code !== 'EPERM') return `cannot be used (${code})`;
  const owner = statSync(folder).uid;
  const user = process.getuid?.() ?? 0;
  return `cannot be written by user ${user}, as ${folder} belongs to user ${owner}; run the agent as root`;
}
