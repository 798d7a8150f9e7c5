import path from 'node:path';
import { AgentError } from '../../src/core/errors.ts';
import type { DiskFiles, NewDisk } from '../../src/drivers/disk-files.ts';
import type { FakeImages } from './fake-images.ts';

/** Disks that are only said to be made, where a fake node has its images. */
export class FakeDiskFiles implements DiskFiles {
  /** What every folder has room for; the size of a disk is what counts. */
  room = 2 ** 40;
  /** Whether other nodes may have the folder. */
  isShared = false;
  readonly #images: FakeImages;
  readonly #made = new Map<string, NewDisk>();
  readonly #written = new Set<string>();

  constructor(images: FakeImages) {
    this.#images = images;
  }

  /** As a guest does. */
  write(file: string): void {
    this.#written.add(file);
  }

  /** What is there, whoever has made it. */
  get paths(): readonly string[] {
    return [...this.#made.keys()];
  }

  async make(disk: NewDisk, signal: AbortSignal): Promise<'made' | 'there'> {
    signal.throwIfAborted();
    const there = await Promise.resolve(this.#made.get(disk.path));
    if (there !== undefined) {
      if (there.format === disk.format && there.bytes === disk.bytes) return 'there';
      throw new AgentError('IMAGE_INVALID', `Cannot make the disk ${disk.path}: there is another`);
    }
    if (this.room === 0) {
      const message = `Cannot make ${disk.path}: its file system is full; make room there`;
      throw new AgentError('STORAGE_FULL', message);
    }
    this.#made.set(disk.path, disk);
    this.#images.add(disk.path, { format: disk.format });
    return 'made';
  }

  async remove(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.resolve();
    this.#made.delete(file);
    this.#written.delete(file);
    this.#images.remove(file);
  }

  async list(folder: string, signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    return await Promise.resolve(this.paths.filter((file) => path.dirname(file) === folder));
  }

  async isUnused(disk: { readonly path: string }, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    return await Promise.resolve(this.#made.has(disk.path) && !this.#written.has(disk.path));
  }

  async isLocal(_folder: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted();
    return await Promise.resolve(!this.isShared);
  }

  async availableBytes(_folder: string, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    return await Promise.resolve(this.room);
  }
}
