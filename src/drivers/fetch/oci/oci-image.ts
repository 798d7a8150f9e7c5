import { open } from 'node:fs/promises';
import { parseOciReference } from '../../../core/oci-reference.ts';
import type { ImageCredentials } from '../../image-fetcher.ts';
import { notAllowed, tooLarge } from '../errors.ts';
import type { Place } from '../place.ts';
import { type Layer, parseManifest, UnusableManifest } from './manifest.ts';
import { RegistrySession, type RegistrySettings } from './registry-session.ts';
import {
  type PackedDisk,
  type Packing,
  packingOf,
  readPackedStart,
  UnusableLayer,
} from './tar-start.ts';
import { unusable } from './unpack.ts';

const START_BYTES = 64 * 1024;
/** What a tar has beside the content of its file. */
const TAR_BYTES = 2 ** 20;

/** An image in a registry, as its tag led to it when it was asked. */
export interface OciImage {
  /** What it is called from then on: `oci:` and the digest of what the tag names. */
  readonly version: string;
  readonly layer: Layer;
  readonly place: Place;
}

/** Asks a registry what it has. Fails as `ImageFetcher.peek` does. */
export async function resolveImage(
  url: URL,
  credentials: ImageCredentials | undefined,
  settings: RegistrySettings,
  signal: AbortSignal,
): Promise<OciImage> {
  const reference = parseOciReference(url.href);
  if (reference === undefined) {
    throw notAllowed(url, 'it is no oci://REGISTRY/REPOSITORY[:TAG|@sha256:…]; correct it');
  }
  const session = new RegistrySession({ ...settings, url, reference, credentials });
  const first = await session.getManifest(reference.digest ?? reference.tag ?? '', signal);
  const layer = await refusing(url, async () => {
    const manifest = parseManifest(first.content);
    if (manifest.kind === 'image') return manifest.layer;
    const chosen = await session.getManifest(manifest.digest, signal);
    const image = parseManifest(chosen.content);
    if (image.kind === 'image') return image.layer;
    throw new UnusableManifest('has an index that leads to another index');
  });
  return { version: `oci:${first.digest}`, layer, place: session.placeOf(layer.digest) };
}

/** The most that a layer may have for its disk to be no larger than so much. Fails with IMAGE_INVALID for one that has more. */
export function layerLimit(url: URL, { bytes, isCalledTar }: Layer, maxBytes: number): number {
  const most = maxBytes + (isCalledTar ? TAR_BYTES : 0);
  if (bytes > most) throw tooLarge(url, maxBytes, bytes);
  return most;
}

export interface LayerStart {
  /** Undefined for a layer that is the disk itself. */
  readonly packed:
    | { readonly packing: NonNullable<Packing>; readonly disk: PackedDisk }
    | undefined;
}

/** What the first bytes of a layer say. Fails with IMAGE_INVALID for one that has no disk, or more than that. */
export async function readLayerStart(
  url: URL,
  { isCalledTar }: Layer,
  start: Uint8Array,
): Promise<LayerStart> {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  const packing = isCalledTar ? packingOf(bytes) : undefined;
  if (packing === undefined) return { packed: undefined };
  return await refusing(url, async () => ({
    packed: { packing, disk: await readPackedStart(bytes, packing) },
  }));
}

/** The same of one that has come. */
export async function readLayerFile(url: URL, layer: Layer, file: string): Promise<LayerStart> {
  await using handle = await open(file, 'r');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(START_BYTES), 0, START_BYTES, 0);
  return await readLayerStart(url, layer, buffer.subarray(0, bytesRead));
}

async function refusing<T>(url: URL, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UnusableManifest || error instanceof UnusableLayer) {
      throw unusable(url, error.message);
    }
    throw error;
  }
}
