import { open, readdir } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../core/file-words.ts';
import { isQcow2, MAX_HEADER_BYTES, readQcow2Header } from './qcow2-header.ts';

/** What a header takes that QEMU has written. */
const USUAL_HEADER_BYTES = 4096;
const DIGEST = /[0-9a-f]{64}(?=\.(?:qcow2|raw)\b)/g;

/** The paths of the disks in a folder that stand on images, by the digests of those. */
export async function findImageUsers(
  folder: string,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const users = new Map<string, string[]>();
  const entries = await readdir(folder, { withFileTypes: true });
  // Somebody may have moved a disk and left a link.
  for (const { name } of entries.filter((entry) => entry.isFile() || entry.isSymbolicLink())) {
    const file = path.join(folder, name);
    for (const digest of await digestsBehind(file)) {
      users.set(digest, [...(users.get(digest) ?? []), file].toSorted());
    }
  }
  return users;
}

/**
 * By the name of what is behind a disk, in whatever way that is written and by whatever path it is reached: one too many is no
 * loss, and one that is overlooked loses the disk.
 */
async function digestsBehind(file: string): Promise<readonly string[]> {
  try {
    await using handle = await open(file, 'r');
    const read = async (bytes: number): Promise<Buffer> => {
      const buffer = Buffer.alloc(bytes);
      const { bytesRead } = await handle.read(buffer, 0, bytes, 0);
      return buffer.subarray(0, bytesRead);
    };
    let start = await read(USUAL_HEADER_BYTES);
    if (!isQcow2(start)) return [];
    let header = readQcow2Header(start);
    if (header === undefined) {
      start = await read(MAX_HEADER_BYTES);
      header = readQcow2Header(start);
    }
    const named = header === undefined ? start.toString('latin1') : (header.backingFile ?? '');
    return [...new Set(named.match(DIGEST) ?? [])];
  } catch (error) {
    // Removed meanwhile.
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}
