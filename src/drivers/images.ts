import type { Reason } from '../core/errors.ts';
import type { FileOwner } from './hypervisor-host.ts';

/** Looks at disk images and other files that VMs are to be given. Changes nothing. */
export interface ImageInspector {
  /** A kernel or an initial RAM disk at an absolute path, links followed; undefined if nothing is there. */
  findBootFile(
    path: string,
    user: FileOwner | undefined,
    signal: AbortSignal,
  ): Promise<FileInfo | undefined>;

  /**
   * What a disk image really is, whatever it is called; undefined if nothing is there. One that a VM must not or cannot be
   * given is described by its `problem`, not by a failure. The content of an image that is to be `raw` is the guest's, and
   * never decides anything; it is looked at only for `content`.
   */
  find(query: ImageQuery, signal: AbortSignal): Promise<ImageInfo | undefined>;

  /** How large a file is, by its first bytes; undefined where that cannot be told, as of storage that does not answer. */
  measure(
    query: Pick<ImageQuery, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<ImageSize | undefined>;

  /** Those of the paths that lead to nothing. Waits for storage that hangs, which costs the agent nothing else. */
  listMissing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
}

export interface ImageQuery {
  readonly path: string;
  /** What it is to be. */
  readonly kind: 'file' | 'block-device';
  readonly format: 'raw' | 'qcow2';
  readonly isReadOnly: boolean;
  /** Whether `content` is wanted. */
  readonly tellsContent?: boolean;
  /**
   * Whether it is encrypted, with a key that the VM has: `required` where one that is not has a problem. If left out, a qcow2 image that
   * is encrypted has one, as nobody could open it.
   */
  readonly encryption?: 'required' | 'any' | undefined;
  /** Whom the VM's process runs as; undefined if that is not known, and then not asked. */
  readonly user: FileOwner | undefined;
}

export interface ImageSize {
  /** What a guest sees of it. */
  readonly virtualBytes: number;
  /** What it takes on its file system, without what it stands on. */
  readonly allocatedBytes: number;
}

export type FileKind = 'file' | 'block-device' | 'other';

export interface FileInfo {
  readonly kind: FileKind;
  /** Why no VM may have it, and what to do; undefined if nothing speaks against it. */
  readonly problem: ImageProblem | undefined;
}

export interface ImageInfo extends FileInfo {
  /** By its content: `qcow2` or another of QEMU's names, empty if unknown; `raw` if it is to be that. */
  readonly format: string;
  /** What one that is to be `raw` has in it, by QEMU's names; absent unless that was asked for and could be read. */
  readonly content?: string;
  /** The same for all paths that lead to one image, and for no other image of the node; undefined if that is not known. */
  readonly fileId: string | undefined;
  /** Likewise of the images behind it. */
  readonly behind: readonly string[];
  /** Who has it open, or something behind it, in a way in which no VM could open it as is asked. */
  readonly holders: readonly ImageHolder[];
}

/** A process that has an image open. */
export interface ImageHolder {
  /** Undefined if it is none of those that this node can see. */
  readonly pid: number | undefined;
  /** Its name, such as `qemu-nbd`. */
  readonly program: string;
  /** Of a QEMU the uid of its VM, whoever has made that, and what the hypervisor calls it. */
  readonly vmUid: string | undefined;
  readonly vmName: string;
}

export interface ImageProblem {
  readonly reason: Extract<
    Reason,
    | 'IMAGE_INVALID'
    | 'IMAGE_NOT_ALLOWED'
    | 'IMAGE_NOT_READABLE'
    | 'IMAGE_UNREACHABLE'
    | 'DEVICE_IN_USE'
  >;
  /** A sentence that goes on after the path. */
  readonly text: string;
}
