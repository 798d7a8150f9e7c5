import type { FileHandle } from 'node:fs/promises';

/** Bytes of a file from there on: fewer where it ends before. */
export async function readAt(handle: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  let length = 0;
  // Some file systems give only so many in one call.
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, bytes - length, at + length);
    length += bytesRead;
    if (bytesRead === 0 || length === bytes) return buffer.subarray(0, length);
  }
}
