import { execFile } from 'node:child_process';
import type { StatsFs } from 'node:fs';
import { link, mkdir, open, readdir, rm, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';
import type { DiskImage, MadeDisk } from '../../core/made-disks.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { syncFolder } from '../../core/sync-folder.ts';
import * as z from '../../core/zod.ts';
import type { DiskFiles, NewDisk } from '../disk-files.ts';
import { sizeText } from './image-kinds.ts';
import { exists, storageError } from './storage-errors.ts';

export interface LocalDiskFilesOptions {
  readonly binary?: string;
}

/** Others may pass, as QEMU's user must, and see nothing. */
const FOLDER_MODE = 0o711;
const DEADLINE_MS = 10_000;

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number(),
  'backing-filename': z.string().optional(),
  snapshots: z.array(z.unknown()).default([]),
});
const mapSchema = z.array(z.object({ data: z.boolean(), present: z.boolean(), depth: z.number() }));

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
      await this.#refuseWithoutImage(disk);
      // A VM that is there must find its disk after a power cut.
      await syncFolder(folder);
      return 'made';
    } catch (error) {
      throw storageError('make', disk.path, error);
    }
  }

  async resize(
    { path: file, format, bytes }: Pick<MadeDisk, 'path' | 'format' | 'bytes'>,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const cannot = (reason: 'IMAGE_NOT_FOUND' | 'IMAGE_INVALID' | 'IMAGE_IN_USE', why: string) =>
      new AgentError(reason, `Cannot make the disk ${file} larger: ${why}`);
    if (!(await exists(file))) throw cannot('IMAGE_NOT_FOUND', 'it is not there');
    const found = await this.#describe({ path: file, format }, signal);
    if (found === undefined) throw cannot('IMAGE_INVALID', `it is no ${format} image`);
    if (found.bytes === bytes) return;
    if (found.bytes > bytes) {
      const why = `it has ${found.bytes} bytes, and ${bytes} are wanted: what is at its end would be lost`;
      throw cannot('IMAGE_INVALID', why);
    }
    try {
      await this.#run(['resize', '-q', '-f', format, file, String(bytes)], signal);
    } catch (error) {
      if (/Failed to get .*lock/.test(String((error as { readonly stderr?: unknown }).stderr))) {
        throw cannot('IMAGE_IN_USE', 'somebody has it open');
      }
      throw storageError('make larger', file, error);
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
      if (codeOf(error) !== 'ENOENT') throw storageError('remove', file, error);
    }
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    try {
      const entries = await readdir(folder, { withFileTypes: true });
      return entries.filter((entry) => entry.isFile()).map(({ name }) => path.join(folder, name));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return [];
      throw storageError('list', folder, error);
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
      const extents = mapSchema.parse(JSON.parse(output));
      // Zeros that were written hide what is in the image behind it. All of a raw file is present.
      const isWritten = extents.some(
        ({ data, present, depth }) => depth === 0 && (data || (present && format === 'qcow2')),
      );
      if (isWritten) return false;
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

  async #write(disk: NewDisk, file: string, signal: AbortSignal): Promise<void> {
    const { format, bytes, image, owner } = disk;
    if (image !== undefined) await refuseUnfit(disk, image);
    // Nobody may read it before it is root's alone.
    await using handle = await open(file, 'wx', 0o600);
    if (format === 'qcow2') {
      const behind = image === undefined ? [] : ['-F', image.format, '-b', image.path];
      await this.#run(['create', '-q', '-f', format, ...behind, file, String(bytes)], signal);
    } else {
      if (image !== undefined) await this.#copy(image, file, signal);
      await handle.truncate(bytes);
    }
    await handle.sync();
    // libvirt may be set not to give QEMU the files that it needs.
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
  }

  /** Takes as long as the image is large; whoever cannot wait ends this process. */
  async #copy({ path: from, format }: DiskImage, file: string, signal: AbortSignal): Promise<void> {
    await this.#run(['convert', '-q', '-f', format, '-O', 'raw', from, file], signal, 0);
  }

  /**
   * Whoever removes an image looks for disks on it once it is away; here the image is looked for once the disk is there. So one of
   * the two finds out.
   */
  async #refuseWithoutImage(disk: NewDisk): Promise<void> {
    if (disk.image === undefined || disk.format !== 'qcow2') return;
    if (await exists(disk.image.path)) return;
    await rm(disk.path, { force: true });
    throw noImage(disk.path, disk.image);
  }

  /** One that is there is not made anew, whatever is on it. */
  async #accept(disk: NewDisk, signal: AbortSignal): Promise<'there'> {
    const { path: file, format, bytes, image } = disk;
    const found = await this.#describe(disk, signal);
    if (found === undefined) {
      throw refused(file, `there is a file that is no ${format} image; move it away`);
    }
    // What was copied into a raw disk cannot be told any more.
    const behind = format === 'qcow2' ? image?.path : undefined;
    if (found.behind !== behind) {
      const stands = found.behind === undefined ? 'on no image' : `on ${found.behind}`;
      const wanted = behind === undefined ? 'on none' : `on ${behind}`;
      throw refused(
        file,
        `there is a disk that stands ${stands}, and one ${wanted} is wanted; move it away`,
      );
    }
    if (found.bytes === bytes) return 'there';
    const text = `there is a ${format} disk of ${found.bytes} bytes, and one of ${bytes} is wanted; move it away, or ask for its size`;
    throw refused(file, text);
  }

  async #describe(
    { path: file, format }: Pick<MadeDisk, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number; readonly behind: string | undefined } | undefined> {
    try {
      // The format is never guessed. A guest may run with it.
      const output = await this.#run(['info', '-U', '--output=json', '-f', format, file], signal);
      const found = infoSchema.parse(JSON.parse(output));
      return { bytes: found['virtual-size'], behind: found['backing-filename'] };
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  async #run(
    given: readonly string[],
    signal: AbortSignal,
    timeout = DEADLINE_MS,
  ): Promise<string> {
    const options = {
      signal,
      timeout,
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
      if (codeOf(error) !== 'ENOENT' || current === '/')
        throw storageError('look at', folder, error);
    }
  }
}

async function refuseUnfit({ path: file, bytes }: NewDisk, image: DiskImage): Promise<void> {
  if (!(await exists(image.path))) throw noImage(file, image);
  if (bytes >= image.bytes) return;
  const text = `its image ${shownSource(image.source)} is of ${sizeText(image.bytes)}, and the disk of ${sizeText(bytes)}; ask for as much at least`;
  throw refused(file, text);
}

function noImage(file: string, { source, path: at }: DiskImage): AgentError {
  return new AgentError(
    'IMAGE_NOT_FOUND',
    `Cannot make the disk ${file}: its image ${shownSource(source)} is not there any more (${at}); fetch it again`,
  );
}

function refused(file: string, text: string): AgentError {
  return new AgentError('IMAGE_INVALID', `Cannot make the disk ${file}: ${text}`);
}
