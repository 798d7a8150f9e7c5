import type { FileOwner } from './hypervisor-host.ts';

/**
 * Images that VMs are made from, in a folder of this node, or of storage that several nodes have. Each stands there under its digest
 * and is never changed; what is known of it stands beside it, so that the folder alone says what there is. Fails with IMAGE_UNREACHABLE
 * where the storage does not answer.
 */
export interface ImageStore {
  /**
   * What a content would be kept as, by its first bytes, at most 64 KiB of them. Asks nothing of the storage. Fails with IMAGE_INVALID as
   * `admit` would for what can be told by them, saying what was found and what to do.
   */
  foresee(request: ForeseeRequest): { readonly virtualBytes: number | undefined };

  /** Where new contents are fetched to; made if it is not there. Failed with IMAGE_NOT_READABLE or STORAGE_FULL. */
  prepare(signal: AbortSignal): Promise<string>;

  /**
   * Keeps a fetched file that is to be an image, or removes it. Whatever refers to other files (a backing file, a data file, an extent,
   * a parent), is encrypted, broken, cut off, larger than may be or of an unknown format is refused with IMAGE_INVALID, which says
   * what was found and what to do, before anything else opens it. Formats that VMs do not run from are converted, in a place where nothing
   * else can be read. One that is there under its digest stays, and the file is removed.
   */
  admit(request: AdmitRequest, signal: AbortSignal): Promise<StoredImage>;

  /** Sorted by digest. What is half made is left out. */
  list(signal: AbortSignal): Promise<readonly StoredImage[]>;

  /** Notes where an image was found, in the place of what is known of that URL, or that it was used. None of that digest is fine. */
  note(digest: string, note: ImageNote, signal: AbortSignal): Promise<void>;

  /** Removes an image at once. None is fine. Fails with IMAGE_IN_USE, naming the file, while a disk of the folder stands on it. */
  remove(digest: string, signal: AbortSignal): Promise<void>;

  /** Reads an image whole. Fails with IMAGE_NOT_FOUND. */
  verify(digest: string, signal: AbortSignal): Promise<ImageVerdict>;

  /** What has come of contents that were not fetched whole, by the names of their files below what `prepare` answers. */
  listParts(names: readonly string[], signal: AbortSignal): Promise<readonly ImagePart[]>;

  /** Removes what has come of a content. None is fine. Nobody may be fetching it. */
  discardPart(name: string, signal: AbortSignal): Promise<void>;

  /**
   * Removes what an agent has left half-made that was killed: below what `prepare` answers all but the files named, and images of
   * which nothing is known and on which no disk stands. On storage that other nodes have, only what nobody has touched for a day.
   */
  tidy(wanted: readonly string[], signal: AbortSignal): Promise<void>;
}

export interface ForeseeRequest {
  readonly url: string;
  readonly start: Uint8Array;
  /** Of the whole content; undefined where that is not known. */
  readonly totalBytes: number | undefined;
  readonly format: 'raw' | undefined;
  readonly maxBytes: number;
}

export interface AdmitRequest {
  /** Of the fetched file, below what `prepare` has answered. */
  readonly path: string;
  /** SHA-256 in hex, as it was fetched. */
  readonly digest: string;
  /** That it is to be taken for what it is in, as raw content is never guessed; undefined for what is seen. */
  readonly format: 'raw' | undefined;
  readonly origin: ImageOrigin;
  /** Whom QEMU runs as; undefined if the hypervisor gives it its files. */
  readonly owner: FileOwner | undefined;
  /** Greatest size as a guest sees it, and on the disk. */
  readonly maxBytes: number;
}

/** Where an image was found. */
export interface ImageOrigin {
  readonly url: string;
  /** By which the server can be asked whether it is still the same; undefined if it has said none. */
  readonly version: string | undefined;
  readonly fetchedAtMs: number;
  /** When the server last said that it is still this one. */
  readonly checkedAtMs: number;
}

export type ImageNote = { readonly origin: ImageOrigin } | { readonly usedAtMs: number };

export interface ImagePart {
  readonly name: string;
  /** What it takes on the disk. */
  readonly diskBytes: number;
}

export interface StoredImage {
  /** SHA-256 in hex, of the content as it was published. */
  readonly digest: string;
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  /** As a guest would see it. */
  readonly virtualBytes: number;
  /** Of the content as it was published. */
  readonly contentBytes: number;
  /** What it takes on the disk. */
  readonly diskBytes: number;
  readonly origins: readonly ImageOrigin[];
  readonly lastUsedAtMs: number;
  /** Paths of the disks in the folder that stand on it. */
  readonly usedBy: readonly string[];
}

export type ImageVerdict =
  | { readonly isWhole: true }
  /** A sentence that goes on after its path. */
  | { readonly isWhole: false; readonly problem: string };
