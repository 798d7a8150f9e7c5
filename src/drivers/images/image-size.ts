import { open } from 'node:fs/promises';
import type { ImageQuery, ImageSize } from '../images.ts';
import { qcow2SizeBytes } from './qcow2-header.ts';
import { readAt } from './read-at.ts';

const HEADER_BYTES = 104;
/** Of what the file system counts in. */
const BLOCK_BYTES = 512;

/** By its first bytes and the file system, so that it costs next to nothing. */
export async function measureImage({
  path,
  format,
}: Pick<ImageQuery, 'path' | 'format'>): Promise<ImageSize | undefined> {
  try {
    await using handle = await open(path, 'r');
    const found = await handle.stat();
    // What a device takes is the storage's to tell.
    if (!found.isFile()) return undefined;
    const allocatedBytes = found.blocks * BLOCK_BYTES;
    if (format === 'raw') return { virtualBytes: found.size, allocatedBytes };
    const virtualBytes = qcow2SizeBytes(await readAt(handle, 0, HEADER_BYTES));
    return virtualBytes === undefined ? undefined : { virtualBytes, allocatedBytes };
  } catch {
    return undefined;
  }
}
