import { open } from 'node:fs/promises';

/** What is new in a folder, or has another name, is still so after a power cut (fsync(2)). */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
