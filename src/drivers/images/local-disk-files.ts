import { execFile } from 'node:child_process';
import type { StatsFs } from 'node:fs';
import { access, link, mkdir, open, readdir, rm, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';
import type { MadeDisk } from '../../core/made-disks.ts';
import * as z from '../../core/zod.ts';
import type { DiskFiles, NewDisk } from '../disk-files.ts';

export interface LocalDiskFilesOptions {
  readonly binary?: string;
}

/** Others may pass, as QEMU's user must, and see nothing. */
const FOLDER_MODE = 0o711;
const DEADLINE_MS = 10_000;

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number(),
  snapshots: z.array(z.unknown()).default([]),
});
const mapSchema = z.array(z.object({ data: z.boolean() }));

/** Makes disks by qemu-img and by the file system. Storage that hangs keeps it for ever. */
export class LocalDiskFiles implements DiskFiles {
  readonly #binary: string;

  constructor({ binary = 'qemu-img' }: LocalDiskFilesOptions = {}) {
    this.#binary = binary;
  }

  async make(disk: NewDisk, signal: AbortSignal): Promise<'made' | 'there'> {
    signal.throwIfAborted();
    const folder = path.dirname(disk.path);
    try {
      await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
      const isThere = (await exists(disk.path)) || !(await this.#place(disk, signal));
      if (isThere) return await this.#accept(disk, signal);
      // A VM that is there must find its disk after a power cut.
      await syncFolder(folder);
      return 'made';
    } catch (error) {
      throw cannot('make', disk.path, error);
    }
  }

  async remove(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      // What a making of it has left that was given up.
      await rm(`${file}.new`, { force: true });
      await unlink(file);
      await syncFolder(path.dirname(file));
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw cannot('remove', file, error);
    }
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    try {
      const entries = await readdir(folder, { withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => path.join(folder, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw cannot('list', folder, error);
    }
  }

  async isUnused(
    { path: file, format }: Pick<MadeDisk, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<boolean> {
    signal.throwIfAborted();
    try {
      // Refused for one that somebody has open.
      const output = await this.#run(['map', '--output=json', '-f', format, file], signal);
      if (mapSchema.parse(JSON.parse(output)).some(({ data }) => data)) return false;
      // Of snapshots in the file itself, the map of what is on top tells nothing.
      const info = await this.#run(['info', '--output=json', '-f', format, file], signal);
      return infoSchema.parse(JSON.parse(info)).snapshots.length === 0;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async isLocal(folder: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    return isLocalFileSystem((await fileSystemOf(folder)).type);
  }

  async availableBytes(folder: string, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const { bavail, bsize } = await fileSystemOf(folder);
    return bavail * bsize;
  }

  /** False if something has come there meanwhile. */
  async #place(disk: NewDisk, signal: AbortSignal): Promise<boolean> {
    const whole = `${disk.path}.new`;
    // What an agent has left that was killed here.
    await rm(whole, { force: true });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => rm(whole, { force: true }));
    await this.#write(disk, whole, signal);
    try {
      // Unlike rename(2), this takes nobody's place.
      await link(whole, disk.path);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  }

  async #write(
    { format, bytes, owner }: NewDisk,
    file: string,
    signal: AbortSignal,
  ): Promise<void> {
    // Nobody may read it before it is root's alone.
    await using handle = await open(file, 'wx', 0o600);
    if (format === 'raw') {
      await handle.truncate(bytes);
    } else {
      await this.#run(['create', '-q', '-f', format, file, String(bytes)], signal);
    }
    await handle.sync();
    // libvirt may be set not to give QEMU the files that it needs.
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
  }

  /** One that is there is not made anew, whatever is on it. */
  async #accept(disk: NewDisk, signal: AbortSignal): Promise<'there'> {
    const { path: file, format, bytes } = disk;
    const found = await this.#describe(disk, signal);
    if (found === undefined) {
      throw refused(file, `there is a file that is no ${format} image; move it away`);
    }
    if (found.bytes === bytes) return 'there';
    const text = `there is a ${format} disk of ${found.bytes} bytes, and one of ${bytes} is wanted; move it away, or ask for its size`;
    throw refused(file, text);
  }

  async #describe(
    { path: file, format }: NewDisk,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number } | undefined> {
    try {
      // The format is never guessed. A guest may run with it.
      const output = await this.#run(['info', '-U', '--output=json', '-f', format, file], signal);
      const { 'virtual-size': bytes } = infoSchema.parse(JSON.parse(output));
      return { bytes };
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #run(given: readonly string[], signal: AbortSignal): Promise<string> {
    const options = {
      signal,
      timeout: DEADLINE_MS,
      env: { LC_ALL: 'C', PATH: process.env['PATH'] },
    };
    const { stdout } = await promisify(execFile)(this.#binary, given, options);
    return stdout;
  }
}

/** Of the folder, or of where it would be made. */
async function fileSystemOf(folder: string): Promise<StatsFs> {
  for (let current = path.resolve(folder); ; current = path.dirname(current)) {
    try {
      return await statfs(current);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT' || current === '/') throw cannot('look at', folder, error);
    }
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

function refused(file: string, text: string): AgentError {
  return new AgentError('IMAGE_INVALID', `Cannot make the disk ${file}: ${text}`);
}

function cannot(verb: string, file: string, error: unknown): unknown {
  if (error instanceof AgentError) return error;
  const code = codeOf(error);
  const complaint = stderrOf(error);
  const isFull =
    code === 'ENOSPC' || code === 'EDQUOT' || complaint.includes('No space left on device');
  const why = complaint === '' ? (WORDS[code] ?? code) : complaint;
  return new AgentError(
    isFull ? 'STORAGE_FULL' : 'IMAGE_NOT_READABLE',
    `Cannot ${verb} ${file}: ${isFull ? 'its file system is full; make room there' : why}`,
    { cause: error },
  );
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
