import { open } from 'node:fs/promises';
import { readAt } from './read-at.ts';

/*
 * What a qcow2 file shows of its content without its key (QEMU's docs/interop/qcow2.txt), big-endian: 36 entries of the table of
 * tables (4)   40 where that is (8). Of a file in which there was never anything all of them are 0.
 */

const START_BYTES = 48;
const ENTRY_BYTES = 8;

/** Whether anything was ever written to an image that this node has made: whatever was takes a table, which stays. */
export async function hasQcow2Data(file: string): Promise<boolean> {
  await using handle = await open(file, 'r');
  const start = await readAt(handle, 0, START_BYTES);
  const tables = await readAt(
    handle,
    Number(start.readBigUInt64BE(40)),
    start.readUInt32BE(36) * ENTRY_BYTES,
  );
  return tables.some((byte) => byte !== 0);
}
