import { execFile } from 'node:child_process';
import type { StatsFs } from 'node:fs';
import { link, mkdir, open, readdir, rm, statfs, unlink } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';
import { type DiskImage, imageBehind, imageToCopy } from '../../core/made-disks.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { syncFolder } from '../../core/sync-folder.ts';
import * as z from '../../core/zod.ts';
import type { CopyProgress, DiskFiles, LargerDisk, NewDisk, UsedDisk } from '../disk-files.ts';
import {
  backingOf,
  contentOf,
  isOpenedBy,
  payloadOffsetOf,
  type RunQemuImg,
  resizeEncrypted,
  writeEncrypted,
} from './encrypted-disk.ts';
import { copyImage, discardCopy, finishedCopy } from './image-copy.ts';
import { isEncrypted } from './image-format.ts';
import { sizeText } from './image-kinds.ts';
import { hasQcow2Data } from './qcow2-data.ts';
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
  encrypted: z.boolean().default(false),
});
const mapSchema = z.array(
  z.object({
    start: z.number(),
    length: z.number(),
    data: z.boolean(),
    present: z.boolean(),
    depth: z.number(),
  }),
);

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

  async resize(disk: LargerDisk, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { path: file, format, bytes, key } = disk;
    const cannot = (reason: 'IMAGE_NOT_FOUND' | 'IMAGE_INVALID' | 'IMAGE_IN_USE', why: string) =>
      new AgentError(reason, `Cannot make the disk ${file} larger: ${why}`);
    if (!(await exists(file))) throw cannot('IMAGE_NOT_FOUND', 'it is not there');
    const found = await this.#describe(disk, signal);
    if (found === undefined) throw cannot('IMAGE_INVALID', `it is no ${contentOf(disk)} image`);
    if (found.bytes === bytes) return;
    if (found.bytes > bytes) {
      const why = `it has ${found.bytes} bytes, and ${bytes} are wanted: what is at its end would be lost`;
      throw cannot('IMAGE_INVALID', why);
    }
    try {
      if (key !== undefined) await resizeEncrypted({ ...disk, key }, this.#qemuImg, signal);
      else await this.#run(['resize', '-q', '-f', format, file, String(bytes)], signal);
    } catch (error) {
      if (/Failed to get .*lock/.test(String((error as { readonly stderr?: unknown }).stderr))) {
        throw cannot('IMAGE_IN_USE', 'somebody has it open');
      }
      throw storageError('make larger', file, error);
    }
  }

  async copy(
    disk: NewDisk,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const image = imageToCopy(disk);
    if (image === undefined) throw new Error(`No image is to be copied into ${disk.path}`);
    try {
      await mkdir(path.dirname(disk.path), { recursive: true, mode: FOLDER_MODE });
      if (await exists(disk.path)) return await discardCopy(disk.path);
      await refuseUnfit(disk, image);
      await copyImage({ binary: this.#binary, disk, image, onProgress }, signal);
    } catch (error) {
      signal.throwIfAborted();
      throw storageError('make', disk.path, error);
    }
  }

  async discardCopy(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      await discardCopy(file);
    } catch (error) {
      throw storageError('remove', file, error);
    }
  }

  async remove(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      // What a making of it has left that was given up.
      await discardCopy(file);
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

  async isUnused(disk: UsedDisk, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    const { path: file, format } = disk;
    try {
      if (await this.#isWritten(disk, signal)) return false;
      // Of snapshots in the file itself, the map of what is on top tells nothing.
      const info = await this.#run(['info', '--output=json', '-f', format, file], signal);
      return infoSchema.parse(JSON.parse(info)).snapshots.length === 0;
    } catch {
      signal.throwIfAborted();
      return false;
    }
  }

  async #isWritten(
    { path: file, format, encryption }: UsedDisk,
    signal: AbortSignal,
  ): Promise<boolean> {
    // Without its key there is no map of it.
    if (format === 'qcow2' && (await isEncrypted(file))) return await hasQcow2Data(file);
    // Refused for one that somebody has open.
    const output = await this.#run(['map', '--output=json', '-f', format, file], signal);
    const extents = mapSchema.parse(JSON.parse(output));
    // A guest may have put a header of LUKS on its disk too, and then that is what it has written.
    const from = format === 'raw' && encryption !== undefined ? await payloadOffsetOf(file) : 0;
    // Zeros that were written hide what is in the image behind it. All of a raw file is present.
    return extents.some(
      ({ start, length, data, present, depth }) =>
        depth === 0 && start + length > from && (data || (present && format === 'qcow2')),
    );
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
    if (imageToCopy(disk) !== undefined) return await this.#placeCopy(disk);
    const whole = `${disk.path}.new`;
    // What an agent has left that was killed here.
    await rm(whole, { force: true });
    await using undo = new AsyncDisposableStack();
    undo.defer(() => rm(whole, { force: true }));
    await this.#write(disk, whole, signal);
    return await linkTo(whole, disk.path);
  }

  async #placeCopy({ path: file }: NewDisk): Promise<boolean> {
    const whole = finishedCopy(file);
    if (!(await exists(whole))) {
      const message = `Cannot make the disk ${file}: its image is still to be copied`;
      throw new AgentError('STATE_NOT_READY', message, { retryAfterMs: 1_000 });
    }
    const isPlaced = await linkTo(whole, file);
    await rm(whole);
    return isPlaced;
  }

  async #write(disk: NewDisk, file: string, signal: AbortSignal): Promise<void> {
    const { format, bytes, image, owner, key } = disk;
    if (image !== undefined) await refuseUnfit(disk, image);
    // Nobody may read it before it is root's alone.
    await using handle = await open(file, 'wx', 0o600);
    if (key !== undefined) {
      await writeEncrypted({ ...disk, key }, file, this.#qemuImg, signal);
    } else if (format === 'qcow2') {
      await this.#run(
        ['create', '-q', '-f', format, ...backingOf(image), file, String(bytes)],
        signal,
      );
    } else {
      await handle.truncate(bytes);
    }
    await handle.sync();
    // libvirt may be set not to give QEMU the files that it needs.
    if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
  }

  /**
   * Whoever removes an image looks for disks on it once it is away; here the image is looked for once the disk is there. So one of
   * the two finds out.
   */
  async #refuseWithoutImage(disk: NewDisk): Promise<void> {
    const image = imageBehind(disk);
    if (image === undefined || (await exists(image.path))) return;
    await rm(disk.path, { force: true });
    throw noImage(disk.path, image);
  }

  /** One that is there is not made anew, whatever is on it. */
  async #accept(disk: NewDisk, signal: AbortSignal): Promise<'there'> {
    const { path: file, format, bytes, key } = disk;
    const found = await this.#describe(disk, signal);
    if (found === undefined) {
      throw refused(file, `there is a file that is no ${contentOf(disk)} image; move it away`);
    }
    if (found.isEncrypted !== (key !== undefined)) {
      const [has, wanted] = found.isEncrypted ? ['', 'not '] : ['not ', ''];
      const text = `there is a disk that is ${has}encrypted, and one that is ${wanted}is wanted; move it away`;
      throw refused(file, text);
    }
    if (key !== undefined && !(await isOpenedBy({ ...disk, key }, this.#qemuImg, signal))) {
      const text = `there is a disk that is encrypted with another key; let the secret ${disk.encryption?.secret ?? ''} be the one that it was made with, or move the disk away`;
      throw refused(file, text);
    }
    // What was copied into a disk cannot be told any more.
    const base = imageBehind(disk)?.path;
    if (found.behind !== base) {
      const stands = found.behind === undefined ? 'on no image' : `on ${found.behind}`;
      const wanted = base === undefined ? 'on none' : `on ${base}`;
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
    disk: Pick<NewDisk, 'path' | 'format' | 'key'>,
    signal: AbortSignal,
  ): Promise<
    | {
        readonly bytes: number;
        readonly behind: string | undefined;
        readonly isEncrypted: boolean;
      }
    | undefined
  > {
    try {
      // The format is never guessed. A guest may run with it.
      const given = ['info', '-U', '--output=json', '-f', contentOf(disk), disk.path];
      const found = infoSchema.parse(JSON.parse(await this.#run(given, signal)));
      return {
        bytes: found['virtual-size'],
        behind: found['backing-filename'],
        isEncrypted: found.encrypted,
      };
    } catch {
      signal.throwIfAborted();
      return undefined;
    }
  }

  readonly #qemuImg: RunQemuImg = (given, signal, timeout) => this.#run(given, signal, timeout);

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

/** False if something is there. Unlike rename(2), this takes nobody's place. */
async function linkTo(whole: string, file: string): Promise<boolean> {
  try {
    await link(whole, file);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
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
