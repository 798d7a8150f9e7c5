import type { Reason } from '../../core/errors.ts';
import { siblingModule } from '../../core/sibling-module.ts';
import type { CopyProgress, LargerDisk, NewDisk, UsedDisk } from '../disk-files.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import type { AdmitRequest, ImageNote } from '../image-store.ts';
import type { ImageQuery } from '../images.ts';
import type { QemuImgInspectorOptions } from './qemu-img-inspector.ts';

/* agent ⇄ a process that works on images. It is given its settings as its only argument, as JSON. */

export type ImageProcessSettings = QemuImgInspectorOptions;

/** What the process is asked, a line each, the next one only after the answer. */
export type ImageQuestion =
  | { readonly verb: 'find'; readonly query: ImageQuery }
  | { readonly verb: 'findBootFile'; readonly path: string; readonly user?: FileOwner | undefined }
  | { readonly verb: 'measure'; readonly query: Pick<ImageQuery, 'path' | 'format'> }
  | { readonly verb: 'makeDisk'; readonly disk: NewDisk }
  | { readonly verb: 'resizeDisk'; readonly disk: LargerDisk }
  | { readonly verb: 'copyImage'; readonly disk: NewDisk }
  | { readonly verb: 'discardCopy'; readonly path: string }
  | { readonly verb: 'removeDisk'; readonly path: string }
  | { readonly verb: 'listDisks'; readonly folder: string }
  | { readonly verb: 'isUnusedDisk'; readonly disk: UsedDisk }
  | { readonly verb: 'isLocalFolder'; readonly folder: string }
  | { readonly verb: 'availableBytes'; readonly folder: string }
  | StoreQuestion;

/** Of the images in a folder. */
export type StoreQuestion = { readonly folder: string } & (
  | { readonly verb: 'prepareImages' }
  | { readonly verb: 'admitImage'; readonly request: AdmitRequest }
  | { readonly verb: 'discardFetched'; readonly path: string }
  | { readonly verb: 'listImages' }
  | { readonly verb: 'noteImage'; readonly digest: string; readonly note: ImageNote }
  | { readonly verb: 'removeImage'; readonly digest: string }
  | { readonly verb: 'verifyImage'; readonly digest: string }
  | { readonly verb: 'listParts'; readonly names: readonly string[] }
  | { readonly verb: 'discardPart'; readonly name: string }
  | { readonly verb: 'tidyImages'; readonly wanted: readonly string[] }
);

/** A line of its output before the answer, of what takes long. */
export interface ImageProgressLine {
  readonly progress: CopyProgress;
}

/** The last line of its output: what the verb of the contract gives, absent where that is nothing. */
export type ImageAnswer =
  | { readonly found?: unknown }
  | { readonly failure: { readonly reason: Reason; readonly message: string } };

/** The file of the process, source or built like its starter. */
export function imageProcessUrl(): URL {
  return siblingModule(import.meta.url, 'image-process');
}
