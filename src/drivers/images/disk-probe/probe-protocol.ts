import { siblingModule } from '../../../core/sibling-module.ts';
import type { ImageSighting, MarkedImage, MarkedPlace, OpenPlace } from '../../disk-probe.ts';
import type { PlaceSettings } from '../allowed-places.ts';

/** What the probe process is asked, as the first line of its input. Its output has a line for each image. */
export type ProbeRequest = ProbeVerb & {
  /** Elsewhere nothing is looked at, and nothing made. */
  readonly places: PlaceSettings;
};

export type ProbeVerb =
  /** The marks stay until its input ends. */
  | { readonly verb: 'mark'; readonly images: readonly OpenPlace[] }
  | { readonly verb: 'look'; readonly images: readonly MarkedPlace[] };

export type ProbeAnswer = MarkedImage | ImageSighting;

/** After this a probe process takes its marks away and ends, whatever its agent does. */
export const MAX_MARK_MS = 60_000;

/** The file of the process, source or built like its starter. */
export function probeProcessUrl(): URL {
  return siblingModule(import.meta.url, 'probe-process');
}
