import { createHash } from 'node:crypto';
import {
  type FileHandle,
  open,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../../core/sync-folder.ts';
import * as z from '../../core/zod.ts';
import { runProgram } from './child-program.ts';
import { fetchFailed } from './errors.ts';
import { shownUrl } from './shown-url.ts';

/** What an agent that was just killed has running ends within less. */
const LOCK_WAIT_S = 2;
const LOCKED = 75;

const recordSchema = z.object({
  /** For people. */
  url: z.string(),
  /** Of the URL as it was asked for, which may have a signature in it. */
  urlDigest: z.string(),
  startedAtMs: z.number(),
  /** Of the kernel. What was written under another may not have reached the disk, or belongs to another node. */
  bootId: z.string(),
  /** By which the server can be asked for the rest; undefined as long as it has not answered, or says none. */
  version: z.string().optional(),
  totalBytes: z.number().optional(),
  /** What follows after so many bytes may be of another version; undefined: nothing. */
  goodBytes: z.number().optional(),
});
type PartRecord = z.infer<typeof recordSchema>;

/** What there is of the content already. */
export interface PartStart {
  readonly bytes: number;
  readonly version: string;
  readonly totalBytes: number | undefined;
}

/**
 * Content on its way: `PATH.part`, with what is known of it in `PATH.part.json`, which is written before the bytes that it is about.
 * Locked, so that it is one process at a time that has it, on the whole machine.
 */
export class PartFile implements AsyncDisposable {
  readonly path: string;
  readonly #url: URL;
  readonly #target: string;
  readonly #handle: FileHandle;
  #record: PartRecord | undefined;

  private constructor(url: URL, target: string, handle: FileHandle) {
    this.#url = url;
    this.#target = target;
    this.#handle = handle;
    this.path = partOf(target);
  }

  /** Fails with IMAGE_FETCH_FAILED while somebody else has it. */
  static async claim(url: URL, target: string, signal: AbortSignal): Promise<PartFile> {
    for (;;) {
      signal.throwIfAborted();
      const handle = await open(partOf(target), 'a', 0o600);
      try {
        const words = ['flock', '--exclusive', '--timeout', String(LOCK_WAIT_S)];
        const lock = ['--conflict-exit-code', String(LOCKED), '3'];
        const end = await runProgram([...words, ...lock], { descriptor: handle.fd }, signal);
        if (end.code !== 0) throw notLocked(url, target, end.code);
        // Whoever had it may have removed it, or made it the content.
        if (await isAt(handle, partOf(target))) return new PartFile(url, target, handle);
      } catch (error) {
        await handle.close();
        throw error;
      }
      await handle.close();
    }
  }

  /** With the lock. */
  get descriptor(): number {
    return this.#handle.fd;
  }

  async bytes(): Promise<number> {
    return (await this.#handle.stat()).size;
  }

  /** Undefined where there is nothing that could be gone on from for certain. */
  async findStart(hasDigest: boolean): Promise<PartStart | undefined> {
    const record = (this.#record ??= await readRecord(recordOf(this.#target)));
    if (record?.version === undefined || record.urlDigest !== digestOf(this.#url)) return undefined;
    if (record.bootId !== (await readBootId()) && !hasDigest) return undefined;
    const size = await this.bytes();
    if (record.goodBytes !== undefined && record.goodBytes < size) {
      await this.#handle.truncate(record.goodBytes);
    }
    // A server has nothing to say of the rest of what is whole: it is asked for the last byte once more.
    if ((await this.bytes()) === record.totalBytes)
      await this.#handle.truncate(record.totalBytes - 1);
    const bytes = await this.bytes();
    if (bytes <= 0 || bytes > (record.totalBytes ?? bytes)) return undefined;
    return { bytes, version: record.version, totalBytes: record.totalBytes };
  }

  /** Throws away what there is. */
  async begin(): Promise<void> {
    // In this order: what has no record is not gone on from.
    await this.#removeRecord();
    await this.#handle.truncate(0);
    await this.#write({
      url: shownUrl(this.#url),
      urlDigest: digestOf(this.#url),
      startedAtMs: Date.now(),
      bootId: await readBootId(),
    });
  }

  /** Before the rest is asked for: nobody knows yet of which version that will be. */
  async goOn(): Promise<void> {
    if (this.#record === undefined) throw new Error('There is nothing to go on from');
    await this.#write({ ...this.#record, goodBytes: await this.bytes() });
  }

  /** Once the server has said what it sends. */
  async note(version: string | undefined, totalBytes: number | undefined): Promise<void> {
    if (this.#record === undefined) throw new Error('Nothing has begun');
    const { goodBytes: _, version: __, totalBytes: ___, ...record } = this.#record;
    await this.#write({
      ...record,
      ...(version !== undefined && { version }),
      ...(totalBytes !== undefined && { totalBytes }),
    });
  }

  /** Bytes that are free where it lies. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.path);
    return bavail * bsize;
  }

  /** Why nothing can be added to it, by writing a little; undefined if it can. */
  async findWriteProblem(): Promise<NodeJS.ErrnoException | undefined> {
    const bytes = await this.bytes();
    try {
      await this.#handle.writeFile(Buffer.alloc(64 * 1024));
      return undefined;
    } catch (error) {
      return error as NodeJS.ErrnoException;
    } finally {
      await this.#handle.truncate(bytes);
    }
  }

  /** It is whole, and on the disk. */
  async complete(): Promise<void> {
    await rename(this.path, this.#target);
    await this.#removeRecord();
    await syncFolder(path.dirname(this.#target));
  }

  async remove(): Promise<void> {
    await this.#removeRecord();
    await rm(this.path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close().catch(() => undefined);
  }

  async #removeRecord(): Promise<void> {
    const record = recordOf(this.#target);
    for (const file of [record, `${record}.new`]) await rm(file, { force: true });
  }

  /** Whole or not at all. It need not outlive the kernel, as the part does not. */
  async #write(record: PartRecord): Promise<void> {
    const file = recordOf(this.#target);
    await writeFile(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    await rename(`${file}.new`, file);
    this.#record = record;
  }
}

function partOf(target: string): string {
  return `${target}.part`;
}

function recordOf(target: string): string {
  return `${target}.part.json`;
}

function digestOf(url: URL): string {
  return createHash('sha256').update(url.href).digest('hex');
}

function notLocked(url: URL, target: string, code: number | null): Error {
  if (code === LOCKED) {
    const why = `${target} is being fetched already; wait until that is done`;
    return fetchFailed(url, why, { isRetryable: true });
  }
  return fetchFailed(url, `${partOf(target)} cannot be locked (flock: ${code})`);
}

async function isAt(handle: FileHandle, file: string): Promise<boolean> {
  const own = await handle.stat({ bigint: true });
  const there = await stat(file, { bigint: true }).catch(() => undefined);
  return there !== undefined && there.ino === own.ino && there.dev === own.dev;
}

/** Undefined for none, and for one that is broken. */
async function readRecord(file: string): Promise<PartRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined;
  }
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
