import type { PullPolicy } from '../../core/resources/image-source.ts';
import type { ImageVerdict, StoredImage } from '../../drivers/image-store.ts';

/** An image that something is to be made from. */
export interface ImageWant {
  readonly source: string;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string | undefined;
  readonly isRaw: boolean;
  readonly pullPolicy: PullPolicy;
  /** What it is fetched with; undefined: nothing. */
  readonly auth: ImageAuth | undefined;
}

/** The secret that an image is fetched with. */
interface ImageAuth {
  readonly name: string;
  /** What came with the request; undefined: the node's of that name. */
  readonly given: Uint8Array | undefined;
}

/** What is known of an image before it is needed. */
export interface ForeseenImage {
  /** Undefined for one that is still to be fetched. */
  readonly stored: StoredImage | undefined;
  /** Its size as a guest would see it; undefined where its first bytes do not say. */
  readonly virtualBytes: number | undefined;
}

/** How far an image has come that is waited for. */
export interface ImageProgress {
  readonly step: 'waiting' | 'fetching' | 'checking';
  readonly bytes: number;
  /** Undefined where the server does not say. */
  readonly totalBytes: number | undefined;
}

export type WantedImage =
  | { readonly kind: 'here'; readonly stored: StoredImage }
  | { readonly kind: 'coming'; readonly progress: ImageProgress };

/** An image that this node keeps. */
export type KnownImage = StoredImage;

/** What is asked of the images of this node. Digests may be given by their first digits. */
export interface ImageService {
  list(signal: AbortSignal): Promise<readonly StoredImage[]>;
  want(want: ImageWant, holder: string, signal: AbortSignal): Promise<WantedImage>;
  /** Whoever wanted images wants them no more, or has them. */
  drop(holder: string): void;
  remove(digest: string, signal: AbortSignal): Promise<void>;
  verify(digest: string, signal: AbortSignal): Promise<ImageVerdict>;
}

/** The digits of one as manifests have it, or of its beginning. */
export function digestDigits(text: string): string {
  return text.replace(/^sha256:/, '');
}

/** `sha256:` and the digits, as manifests have it. */
export function digestText({ digest }: Pick<StoredImage, 'digest'>): string {
  return `sha256:${digest}`;
}
