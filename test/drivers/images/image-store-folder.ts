import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, copyFile, open, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import type { AdmitRequest, ImageStore, StoredImage } from '../../../src/drivers/image-store.ts';
import { ImageProcesses } from '../../../src/drivers/images/image-processes.ts';
import { LocalDiskFiles } from '../../../src/drivers/images/local-disk-files.ts';
import { Folder } from './image-folder.ts';

const never = new AbortController().signal;
const URL = 'https://example.org/image';

/** A folder of disks with images, and one beside it where files are made that are fetched from there. */
export class StoreFolder implements AsyncDisposable {
  readonly disks: string;
  readonly #folder: Folder;

  private constructor(folder: Folder) {
    this.#folder = folder;
    this.disks = folder.own('disks');
  }

  static async make(): Promise<StoreFolder> {
    return new StoreFolder(await Folder.make());
  }

  /** Where what is fetched comes from. */
  outside(name: string): string {
    return this.#folder.foreign(name);
  }

  qemuImg(...given: readonly string[]): string {
    return execFileSync('qemu-img', given, { stdio: 'pipe' }).toString();
  }

  /** An image of some data, by qemu-img. */
  create(name: string, format: string, size = '8M', ...options: readonly string[]): string {
    const file = this.outside(name);
    const raw = `${file}.source`;
    this.qemuImg('create', '-q', '-f', 'raw', raw, size);
    execFileSync('qemu-io', ['-f', 'raw', '-c', 'write -P 7 1M 1M', raw], { stdio: 'pipe' });
    this.qemuImg('convert', '-f', 'raw', '-O', format, ...options, raw, file);
    return file;
  }

  /** What is to be admitted of a copy of a file. */
  async request(
    store: ImageStore,
    file: string,
    changes: Partial<AdmitRequest> = {},
  ): Promise<AdmitRequest> {
    const to = path.join(await store.prepare(never), `${path.basename(file)}.part`);
    await copyFile(file, to);
    const digest = createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
    return {
      path: to,
      digest,
      format: undefined,
      owner: undefined,
      maxBytes: 2 ** 31,
      origin: { url: URL, version: undefined, fetchedAtMs: 1, checkedAtMs: 1 },
      ...changes,
    };
  }

  async admit(
    store: ImageStore,
    file: string,
    changes: Partial<AdmitRequest> = {},
  ): Promise<StoredImage> {
    return await store.admit(await this.request(store, file, changes), never);
  }

  /** All files below the folder of the disks. */
  async files(): Promise<readonly string[]> {
    const entries = await readdir(this.disks, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory());
    return files.map((entry) => path.join(entry.parentPath, entry.name)).toSorted();
  }

  async makeDisk(image: StoredImage, changes: { format?: 'raw' | 'qcow2'; bytes?: number } = {}) {
    const { format = 'qcow2', bytes = image.virtualBytes } = changes;
    const disk = {
      path: path.join(this.disks, `root.${format}`),
      format,
      bytes,
      owner: undefined,
      image: {
        source: URL,
        digest: `sha256:${image.digest}`,
        path: image.path,
        format: image.format,
        bytes: image.virtualBytes,
      },
    };
    const files = new LocalDiskFiles();
    if (format === 'raw') await files.copy(disk, () => undefined, never);
    return { disk, made: await files.make(disk, never) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

export function processesFor(folder: StoreFolder, timeoutMs = 10_000): ImageProcesses {
  const places = { folders: [folder.disks], bootFolders: [], blockDevices: [], ownFiles: [] };
  return new ImageProcesses({ places, timeoutMs });
}

/** Writes into a file, as what breaks it does. */
export async function patch(file: string, at: number, bytes: Buffer): Promise<void> {
  await chmod(file, 0o600);
  await using handle = await open(file, 'r+');
  await handle.write(bytes, 0, bytes.length, at);
}

export async function flip(file: string, at: number, mask = 1): Promise<void> {
  await using handle = await open(file, 'r');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte.writeUInt8(byte.readUInt8(0) ^ mask);
  await patch(file, at, byte);
}

export async function removeDisk(file: string): Promise<void> {
  await rm(file);
}
