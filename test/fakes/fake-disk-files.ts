import path from 'node:path';
import { AgentError, type Reason } from '../../src/core/errors.ts';
import { copiedImageOf, imageBehind, imageToCopy } from '../../src/core/made-disks.ts';
import { untilAborted } from '../../src/core/until-aborted.ts';
import type { CopyProgress, DiskFiles, LargerDisk, NewDisk } from '../../src/drivers/disk-files.ts';
import type { FakeImages } from './fake-images.ts';

/** Disks that are only said to be made, where a fake node has its images. */
export class FakeDiskFiles implements DiskFiles {
  /** What every folder has room for; the size of a disk is what counts. */
  room = 2 ** 40;
  /** Whether other nodes may have the folder. */
  isShared = false;
  /** Copies are half done until this settles. */
  holdCopies: Promise<void> = Promise.resolve();
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

  /** What a disk is encrypted with. */
  keyOf(file: string): string | undefined {
    return this.#made.get(file)?.key;
  }

  /** The paths of disks that stand on an image. */
  standingOn(image: string): readonly string[] {
    const disks = [...this.#made.values()].filter((disk) => behind(disk) === image);
    return disks.map(({ path: file }) => file).toSorted();
  }

  async make(disk: NewDisk, signal: AbortSignal): Promise<'made' | 'there'> {
    signal.throwIfAborted();
    const there = this.#made.get(disk.path);
    if (there !== undefined) {
      const isSame = there.format === disk.format && there.bytes === disk.bytes;
      const isOpened = there.key === disk.key;
      if (isSame && isOpened && behind(there) === behind(disk)) return 'there';
      throw new AgentError('IMAGE_INVALID', `Cannot make the disk ${disk.path}: there is another`);
    }
    const isCopied = imageToCopy(disk) !== undefined;
    if (isCopied && !this.#made.has(`${disk.path}.copied`)) {
      const message = `Cannot make the disk ${disk.path}: its image is still to be copied`;
      throw new AgentError('STATE_NOT_READY', message, { retryAfterMs: 1 });
    }
    if (!isCopied) await this.#refuseUnfit(disk, signal);
    this.#made.delete(`${disk.path}.copied`);
    this.#made.set(disk.path, disk);
    this.#images.add(disk.path, { format: disk.format });
    return 'made';
  }

  async copy(
    disk: NewDisk,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    await this.discardCopy(disk.path, signal);
    if (this.#made.has(disk.path)) return;
    await this.#refuseUnfit(disk, signal);
    const totalBytes = disk.image?.bytes ?? 0;
    const [half, whole] = [`${disk.path}.new`, `${disk.path}.copied`];
    this.#made.set(half, disk);
    try {
      onProgress({ bytes: totalBytes / 2, totalBytes });
      await untilAborted(this.holdCopies, signal);
      onProgress({ bytes: totalBytes, totalBytes });
      this.#made.set(whole, disk);
    } finally {
      this.#made.delete(half);
    }
  }

  async discardCopy(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.resolve();
    this.#made.delete(`${file}.new`);
    this.#made.delete(`${file}.copied`);
  }

  async #refuseUnfit(disk: NewDisk, signal: AbortSignal): Promise<void> {
    const { image } = disk;
    if (image !== undefined && (await this.#images.listMissing([image.path], signal)).length > 0) {
      const message = `Cannot make the disk ${disk.path}: its image ${image.source} is not there any more`;
      throw new AgentError('IMAGE_NOT_FOUND', message);
    }
    if (image !== undefined && disk.bytes < image.bytes) {
      const message = `Cannot make the disk ${disk.path}: its image ${image.source} is of ${image.bytes} bytes, and the disk of ${disk.bytes} bytes`;
      throw new AgentError('IMAGE_INVALID', message);
    }
    if (this.room === 0) {
      const message = `Cannot make ${disk.path}: its file system is full; make room there`;
      throw new AgentError('STORAGE_FULL', message);
    }
  }

  async resize(disk: LargerDisk, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.resolve();
    const there = this.#made.get(disk.path);
    const cannot = (reason: Reason, why: string) =>
      new AgentError(reason, `Cannot make the disk ${disk.path} larger: ${why}`);
    if (there === undefined) throw cannot('IMAGE_NOT_FOUND', 'it is not there');
    if (there.format !== disk.format || there.bytes > disk.bytes || there.key !== disk.key) {
      throw cannot('IMAGE_INVALID', 'it is another, or larger');
    }
    if (this.#images.isOpen(disk.path)) throw cannot('IMAGE_IN_USE', 'somebody has it open');
    this.#made.set(disk.path, { ...there, bytes: disk.bytes });
  }

  /** What the guest of a disk sees. */
  bytesOf(file: string): number | undefined {
    return this.#made.get(file)?.bytes;
  }

  async remove(file: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.discardCopy(file, signal);
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
    const made = this.#made.get(disk.path);
    const isEmpty = made !== undefined && copiedImageOf(made) === undefined;
    return await Promise.resolve(isEmpty && !this.#written.has(disk.path));
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

function behind(disk: NewDisk): string | undefined {
  return imageBehind(disk)?.path;
}
