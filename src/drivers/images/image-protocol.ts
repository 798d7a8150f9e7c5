import type { Reason } from '../../core/errors.ts';
import { siblingModule } from '../../core/sibling-module.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import type { FileInfo, ImageInfo, ImageQuery } from '../images.ts';
import type { QemuImgInspectorOptions } from './qemu-img-inspector.ts';

/* agent ⇄ a process that looks at images. It is given its settings as its only argument, as JSON. */

export type ImageProcessSettings = QemuImgInspectorOptions;

/** What the process is asked, a line each, the next one only after the answer. */
export type ImageQuestion =
  | { readonly verb: 'find'; readonly query: ImageQuery }
  | { readonly verb: 'findBootFile'; readonly path: string; readonly user?: FileOwner | undefined };

/** A line of its output; without `found` there is nothing there. */
export type ImageAnswer =
  | { readonly found?: FileInfo | ImageInfo | undefined }
  | { readonly failure: { readonly reason: Reason; readonly message: string } };

/** The file of the process, source or built like its starter. */
export function imageProcessUrl(): URL {
  return siblingModule(import.meta.url, 'image-process');
}
