import { open, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import type { StorageProbe, StorageState } from '../storage-probe.ts';

/** Below this SQLite's next checkpoint may fail, although a small write still works. */
const LEAST_BYTES = 1024 ** 2;
const PROBE_BYTES = 64 * 1024;
const PROBE_NAME = '.write-probe';
// The file system is full, or what this user may have of it is used up.
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** A folder on a file system of this host. */
export class FolderProbe implements StorageProbe {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async look(): Promise<StorageState> {
    try {
      // The agent is root, for whom the reserved blocks are.
      const { bfree, bsize, files, ffree } = await statfs(this.directory);
      const availableBytes = bfree * bsize;
      // Some file systems have as many files as one likes, and say 0.
      const isFull = availableBytes < LEAST_BYTES || (files > 0 && ffree === 0);
      return isFull ? { kind: 'full', code: 'ENOSPC' } : { kind: 'writable', availableBytes };
    } catch (error) {
      return stateOf(error);
    }
  }

  async tryWrite(): Promise<StorageState> {
    const found = await this.look();
    if (found.kind !== 'writable') return found;
    const file = path.join(this.directory, PROBE_NAME);
    try {
      await using handle = await open(file, 'w', 0o600);
      await handle.write(Buffer.alloc(PROBE_BYTES));
      await handle.datasync();
      return found;
    } catch (error) {
      return stateOf(error);
    } finally {
      await rm(file, { force: true }).catch(() => undefined);
    }
  }
}

function stateOf(error: unknown): StorageState {
  const code =
    error instanceof Error && 'code' in error ? String(error.code) : 'unexpected failure';
  if (FULL.includes(code)) return { kind: 'full', code };
  return { kind: code === 'EROFS' ? 'read-only' : 'failing', code };
}
