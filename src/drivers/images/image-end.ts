import type { FileHandle } from 'node:fs/promises';
import type { ImageFormat } from './image-kinds.ts';
import { readAt } from './read-at.ts';

/*
 * Where the last data of an image end. `qemu-img check` overlooks an end that lacks less than a cluster, and of VDI any; what is
 * missing would be read as zeros. Of images that it has passed, so that tables are as large as they may be.
 */

const SECTOR_BYTES = 512;

/** Whether an image has data behind the end of its file. */
export async function endsTooSoon(handle: FileHandle, format: ImageFormat): Promise<boolean> {
  const { size } = await handle.stat();
  if (format === 'raw') return false;
  if (format === 'qcow2') return await qcow2EndsTooSoon(handle, size);
  if (size % SECTOR_BYTES !== 0) return true;
  const start = await readAt(handle, 0, SECTOR_BYTES);
  if (format === 'vmdk') return await vmdkEndsTooSoon(handle, start, size);
  if (format === 'vdi') return vdiEnd(start) > size;
  if (format !== 'vpc') return false;
  const end = await readAt(handle, size - SECTOR_BYTES, SECTOR_BYTES);
  return end.toString('latin1', 0, 8) !== 'conectix';
}

/** 344 where its blocks begin (4)   376 bytes of a block (4)   380 of what is before each (4)   388 blocks that there are (4) */
function vdiEnd(start: Buffer): number {
  const blockBytes = start.readUInt32LE(376) + start.readUInt32LE(380);
  return start.readUInt32LE(344) + blockBytes * start.readUInt32LE(388);
}

const VMDK_IS_COMPRESSED = 2 ** 16;
/** Of an entry: it says that there is nothing, or zeros. */
const VMDK_LAST_EMPTY = 1;

/**
 * 8 flags (4)   12 capacity (8)   20 sectors of a grain (8)   44 entries of a table (4)   56 first sector of the directory (8), which
 * has the first sectors of tables, which have those of grains (4 each).
 */
async function vmdkEndsTooSoon(handle: FileHandle, start: Buffer, size: number): Promise<boolean> {
  // Compressed grains are told apart by being read, as converting does.
  if ((start.readUInt32LE(8) & VMDK_IS_COMPRESSED) !== 0) return false;
  const grain = Number(start.readBigUInt64LE(20));
  const entries = start.readUInt32LE(44);
  const tables = Math.ceil(Number(start.readBigUInt64LE(12)) / (grain * entries));
  const at = Number(start.readBigUInt64LE(56)) * SECTOR_BYTES;
  const directory = await readAt(handle, at, tables * 4);
  if (directory.length < tables * 4) return true;
  let last = 0;
  for (const table of new Set(listOf32(directory))) {
    if (table === 0) continue;
    const grains = listOf32(await readAt(handle, table * SECTOR_BYTES, entries * 4));
    if (grains.length < entries) return true;
    for (const first of grains) if (first > VMDK_LAST_EMPTY && first > last) last = first;
  }
  return last > 0 && (last + grain) * SECTOR_BYTES > size;
}

function listOf32(table: Buffer): readonly number[] {
  return Array.from({ length: Math.floor(table.length / 4) }, (_, index) =>
    table.readUInt32LE(index * 4),
  );
}

const QCOW2_OFFSET = 0x00_ff_ff_ff_ff_ff_fe_00n;
const QCOW2_COMPRESSED = 1n << 62n;
const QCOW2_ZEROS = 1n;
const QCOW2_EXTENDED = 2 ** 4;

/**
 * 4 version   20 bits of a cluster (4)   24 size (8)   36 entries of L1 (4)   40 where that is (8)   76 features (4). Its entries
 * lead to tables of a cluster each, whose entries lead to the clusters of data.
 */
async function qcow2EndsTooSoon(handle: FileHandle, size: number): Promise<boolean> {
  const header = await readAt(handle, 0, 104);
  const features = header.readUInt32BE(4) >= 3 ? header.readUInt32BE(76) : 0;
  const isExtended = (features & QCOW2_EXTENDED) !== 0;
  const clusterBits = header.readUInt32BE(20);
  const clusterBytes = 2 ** clusterBits;
  const entryBytes = isExtended ? 16 : 8;
  const l1Bytes = header.readUInt32BE(36) * 8;
  const l1 = await readAt(handle, Number(header.readBigUInt64BE(40)), l1Bytes);
  if (l1.length < l1Bytes) return true;
  const tableSpan = (clusterBytes / entryBytes) * clusterBytes;
  const guestBytes = Number(header.readBigUInt64BE(24));
  const wholeSectors = Math.ceil(size / SECTOR_BYTES) * SECTOR_BYTES;
  const seen = new Set<number>();
  for (let index = 0; index * 8 < l1.length; index += 1) {
    const tableAt = Number(l1.readBigUInt64BE(index * 8) & QCOW2_OFFSET);
    if (tableAt === 0 || seen.has(tableAt)) continue;
    seen.add(tableAt);
    const table = await readAt(handle, tableAt, clusterBytes);
    if (table.length < clusterBytes) return true;
    for (let at = 0; at < clusterBytes; at += entryBytes) {
      const entry = table.readBigUInt64BE(at);
      if (entry === 0n) continue;
      if ((entry & QCOW2_COMPRESSED) !== 0n) {
        // Its writer need not fill the last sector up.
        if (compressedEnd(entry, clusterBits) > wholeSectors) return true;
        continue;
      }
      const dataAt = Number(entry & QCOW2_OFFSET);
      // Of clusters that read as zeros, and of those of which only parts are used, the file need not have all.
      if (dataAt === 0 || (entry & QCOW2_ZEROS) !== 0n || isExtended) continue;
      const guestAt = index * tableSpan + (at / entryBytes) * clusterBytes;
      if (dataAt + Math.min(clusterBytes, guestBytes - guestAt) > size) return true;
    }
  }
  return false;
}

/** The upper bits have the sectors behind the first one, the lower ones the first byte. */
function compressedEnd(entry: bigint, clusterBits: number): number {
  const shift = BigInt(62 - (clusterBits - 8));
  const more = Number((entry & (QCOW2_COMPRESSED - 1n)) >> shift);
  const first = Number(entry & ((1n << shift) - 1n));
  return (Math.floor(first / SECTOR_BYTES) + 1 + more) * SECTOR_BYTES;
}
