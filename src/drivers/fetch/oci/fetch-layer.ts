import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AgentError, hasReason } from '../../../core/errors.ts';
import { syncFolder } from '../../../core/sync-folder.ts';
import type { FetchedContent, FetchRequest } from '../../image-fetcher.ts';
import { download } from '../download.ts';
import { digestMismatch, storageFull, tooLarge } from '../errors.ts';
import { PartFile } from '../part-file.ts';
import type { TransferOptions } from '../transfer.ts';
import { layerLimit, type OciImage, readLayerFile } from './oci-image.ts';
import { unpackDisk } from './unpack.ts';

type Options = Pick<TransferOptions, 'hosts' | 'settings' | 'retryDelaysMs' | 'onProgress'> & {
  readonly request: FetchRequest;
};

/** Gets a layer as any content comes, and of one that has the disk in it keeps only that. Fails as `ImageFetcher.fetch` does. */
export async function fetchLayer(
  { place, layer, version }: OciImage,
  { request, ...options }: Options,
  signal: AbortSignal,
): Promise<FetchedContent> {
  const { url } = place;
  const { path: target, digest: asked } = request;
  const digest = layer.digest.slice('sha256:'.length);
  if (!layer.isCalledTar) assertAsked(url, asked, digest);
  const maxBytes = layerLimit(url, layer, request.maxBytes);
  const ofLayer = { ...request, digest, maxBytes, knownVersion: undefined };
  const complete = async (content: FetchedContent, part: PartFile): Promise<FetchedContent> => {
    if (content.isUnchanged) throw new Error('Nothing was known');
    const { packed } = await readLayerFile(url, layer, part.path);
    if (packed !== undefined) {
      const found = await unpackPart(part, packed, { url, request }, signal);
      return { isUnchanged: false, ...found, version };
    }
    assertAsked(url, asked, content.digest);
    await part.complete();
    return { ...content, version };
  };
  await using part = await PartFile.claim(place.at, target, signal);
  try {
    const transfer = { ...options, ...place, request: ofLayer, part };
    return await download(transfer, complete, signal);
  } catch (error) {
    const isWrong =
      hasReason(error, 'IMAGE_DIGEST_MISMATCH') && error.metadata['askedDigest'] === layer.digest;
    throw isWrong ? wrongLayer(url, layer.digest, error) : error;
  }
}

async function unpackPart(
  part: PartFile,
  { packing, disk }: NonNullable<Awaited<ReturnType<typeof readLayerFile>>['packed']>,
  { url, request }: { readonly url: URL; readonly request: FetchRequest },
  signal: AbortSignal,
) {
  const { path: target, maxBytes, digest: asked } = request;
  if (disk.bytes > maxBytes) throw tooLarge(url, maxBytes, disk.bytes);
  const missing = disk.bytes - (await part.freeBytes());
  if (missing > 0) throw storageFull(url, target, `${missing} bytes`);
  const unpacked = `${target}.unpacked`;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(unpacked, { force: true }));
  const work = { url, layer: part.path, packing, disk, target: unpacked };
  const found = await unpackDisk(work, signal);
  assertAsked(url, asked, found.digest);
  await rename(unpacked, target);
  await part.remove();
  await syncFolder(path.dirname(target));
  return found;
}

function assertAsked(url: URL, asked: string | undefined, found: string): void {
  if (asked !== undefined && asked !== found) throw digestMismatch(url, asked, found, false);
}

function wrongLayer(url: URL, asked: string, cause: AgentError): AgentError {
  const { foundDigest: found = '' } = cause.metadata;
  return new AgentError(
    'IMAGE_DIGEST_MISMATCH',
    `Cannot use ${url.href}: its registry has sent a layer with the digest ${found}, and its manifest names ${asked}; push it anew, or use another registry`,
    { cause, metadata: { askedDigest: asked, foundDigest: found } },
  );
}
