import type { MadeDisk } from '../core/made-disks.ts';
import type { FileOwner } from './hypervisor-host.ts';

/** Disks that the agent makes for VMs: files of the node, or of storage that several nodes have. */
export interface DiskFiles {
  /**
   * Makes a disk, whole or not at all, and its folder: an empty one, one that stands on an image, or the copy of one that `copy` has
   * made. One that is there already with the same format, size, key and image behind it stays as it is, with what is on it. Fails with
   * IMAGE_INVALID if something else is there or the image is larger, IMAGE_NOT_FOUND without the image, STATE_NOT_READY where there is
   * no copy, STORAGE_FULL, IMAGE_NOT_READABLE where nothing can be written and IMAGE_UNREACHABLE if the storage does not answer.
   */
  make(disk: NewDisk, signal: AbortSignal): Promise<'made' | 'there'>;

  /**
   * Makes a disk larger that nobody has open, to its new size; one that has it already is fine. Fails with IMAGE_IN_USE, IMAGE_NOT_FOUND,
   * IMAGE_INVALID if it is larger or no disk of this format, STORAGE_FULL, IMAGE_NOT_READABLE and IMAGE_UNREACHABLE.
   */
  resize(disk: LargerDisk, signal: AbortSignal): Promise<void>;

  /**
   * Copies the image of a disk that is not to stand on it, beside where that is to be, for `make` to put it there; what was copied
   * before is thrown away. Takes as long as the image is large; what is all zeros in it takes no room. Does nothing where something is at
   * the disk's own path. Failed or aborted it leaves nothing. Fails as `make` does, with STORAGE_FULL also at once where there is no
   * room for it.
   */
  copy(
    disk: NewDisk,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<void>;

  /** Removes what `copy` has made for a disk, or an agent has left of it that was killed. None is fine. Fails as `remove` does. */
  discardCopy(path: string, signal: AbortSignal): Promise<void>;

  /** Removes a disk with what is on it, at once and for good. None is fine. Fails with IMAGE_NOT_READABLE and IMAGE_UNREACHABLE. */
  remove(path: string, signal: AbortSignal): Promise<void>;

  /** The paths of files in a folder; none where there is no such folder. Fails with IMAGE_NOT_READABLE and IMAGE_UNREACHABLE. */
  list(folder: string, signal: AbortSignal): Promise<readonly string[]>;

  /**
   * Whether nothing was ever written to a disk, and nobody has it open that can be seen. False where that cannot be told, as of a raw
   * one that an image was copied into.
   */
  isUnused(disk: UsedDisk, signal: AbortSignal): Promise<boolean>;

  /** Whether no other host can write in a folder, or where it would be made. Fails with IMAGE_UNREACHABLE. */
  isLocal(folder: string, signal: AbortSignal): Promise<boolean>;

  /** Bytes that can still be written in a folder, or where it would be made. Fails with IMAGE_UNREACHABLE. */
  availableBytes(folder: string, signal: AbortSignal): Promise<number>;
}

/** How much of an image has been copied, without what is all zeros in it. */
export interface CopyProgress {
  readonly bytes: number;
  readonly totalBytes: number;
}

export interface NewDisk extends MadeDisk {
  /** Whom the VM's process runs as; undefined if the hypervisor gives it its files. */
  readonly owner: FileOwner | undefined;
  /** One line of text, with which it is encrypted; undefined for one that is not. */
  readonly key?: string | undefined;
}

export type LargerDisk = Pick<NewDisk, 'path' | 'format' | 'bytes' | 'key'>;

export type UsedDisk = Pick<MadeDisk, 'path' | 'format' | 'encryption'>;
