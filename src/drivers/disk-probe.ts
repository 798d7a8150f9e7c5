/**
 * Finds out whether images are the same on two nodes. The one node marks the folders that its images are in, the other
 * looks for the marks: a name that nobody can have made by chance. Each probe only looks at its own node, and only at what
 * VMs may be given there.
 */
export interface DiskProbe {
  /**
   * Looks at images and marks their folders, each image in the order asked for. The marks are gone once the answer is
   * disposed, and by themselves after a minute or with this process. What VMs may not be given is unknown, and no mark is made there.
   */
  mark(images: readonly OpenPlace[], signal: AbortSignal): Promise<MarkedImages>;

  /**
   * Looks at the images that another node has marked, in the order asked for. Of a file without the mark it is only told
   * that something is there; of what VMs may not be given not even that.
   */
  look(images: readonly MarkedPlace[], signal: AbortSignal): Promise<readonly ImageSighting[]>;
}

/** Where an image is, and what it is opened as. Links are followed. */
export interface ImagePlace {
  readonly kind: 'file' | 'block';
  readonly path: string;
  readonly format: string;
}

export interface OpenPlace extends ImagePlace {
  /** VM of this node that has it open, which what is found there now is compared with. */
  readonly vmUid?: string;
}

/** An image that another node has looked at. */
export interface MarkedPlace extends ImagePlace {
  /** Name of the file that the other node has made beside it; empty for a block device. */
  readonly mark: string;
}

export interface MarkedImages extends AsyncDisposable {
  readonly images: readonly MarkedImage[];
}

/** What the node finds that marks. */
export type MarkedImage =
  | (FileFacts & { readonly mark: string })
  | BlockFacts
  | UnknownImage
  | ReplacedImage;

/** What the node finds that looks. */
export type ImageSighting =
  | FileFacts
  | BlockFacts
  | UnknownImage
  | MissingImage
  | OtherImage
  | RefusedImage;

export interface FileFacts {
  readonly kind: 'file';
  /** Of the file itself, not of a link to it. */
  readonly name: string;
  /** What it was found to be, as far as that matters to who opens it in the format given. */
  readonly format: string;
  /** What a guest sees, in bytes; undefined for formats that are not known here. */
  readonly sizeBytes: number | undefined;
  /** Kind of the file system and the file's number there; undefined where file systems do not keep such numbers. */
  readonly fileId: string | undefined;
}

export interface BlockFacts {
  readonly kind: 'block';
  /** What the device or its volume manager calls itself, the same wherever it is attached. */
  readonly deviceId: string;
  readonly sizeBytes: number;
}

/** It could not be found out what it is. */
export interface UnknownImage {
  readonly kind: 'unknown';
  /** Why, for people. */
  readonly problem: string;
  /** A device that is there and has nothing by which another node could know it. */
  readonly isNameless?: true;
}

/** Certainly not what the VM has open: another file is there by now, or none. */
interface ReplacedImage {
  readonly kind: 'replaced';
}

/** Certainly not what the other node has: nothing is there. */
interface MissingImage {
  readonly kind: 'missing';
}

/** Nor is this: the mark is not beside it. */
interface OtherImage {
  readonly kind: 'other';
}

/** No VM may be given what is under this path, whether anything is. */
interface RefusedImage {
  readonly kind: 'refused';
  /** Why, and what to do, for people. */
  readonly problem: string;
}
