/** Looks at disk images and other files that VMs are given. Changes nothing. */
export interface ImageInspector {
  /** What is at an absolute path, links followed; undefined if nothing is there. */
  findKind(path: string, signal: AbortSignal): Promise<FileKind | undefined>;

  /**
   * What a disk image really is, whatever it is called; undefined if nothing is there. An image that cannot be
   * read or that a VM must not be given is described by its `problem`, not by a failure.
   */
  find(path: string, signal: AbortSignal): Promise<ImageInfo | undefined>;
}

export type FileKind = 'file' | 'block-device' | 'other';

export interface ImageInfo {
  readonly kind: FileKind;
  /** By its content: `raw`, `qcow2` or another of QEMU's names; empty if unknown. */
  readonly format: string;
  /** What the guest would see, in bytes; 0 if unknown. */
  readonly virtualSizeBytes: number;
  /** Why no VM may have it, and what to do; undefined if nothing speaks against it. */
  readonly problem: string | undefined;
}
