import { open } from 'node:fs/promises';
import { isLuks, LUKS_MAGIC } from './luks-header.ts';
import { isQcow2, QCOW_MAGIC, qcow2IsEncrypted } from './qcow2-header.ts';

/** Where a format has its name in a file, for those that people bring along. */
const NAMES: readonly (readonly [format: string, offset: number, name: string])[] = [
  ['qcow', 0, `${QCOW_MAGIC}\0\0\0\u{1}`],
  ['qed', 0, 'QED\0'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vhdx', 0, 'vhdxfile'],
  ['vpc', 0, 'conectix'],
  ['vdi', 0x40, '\u{7f}\u{10}\u{da}\u{be}'],
  ['luks', 0, LUKS_MAGIC],
];

const START_BYTES = 512;

/**
 * The format of an image by its first bytes, `raw` if nothing is known. Not by qemu-img, which opens whatever files an image of an
 * unknown maker names as its parts (VMDK's extents).
 */
export async function readFormat(file: string): Promise<string> {
  const start = await readStart(file);
  if (isQcow2(start)) return 'qcow2';
  const text = start.toString('latin1');
  return NAMES.find(([, offset, name]) => text.startsWith(name, offset))?.[0] ?? 'raw';
}

/** Whether only a key leads to what is in it: a qcow2 image that says so, or a container of LUKS. */
export async function isEncrypted(file: string): Promise<boolean> {
  const start = await readStart(file);
  return isQcow2(start) ? qcow2IsEncrypted(start) : isLuks(start);
}

async function readStart(file: string): Promise<Buffer> {
  await using handle = await open(file, 'r');
  const start = Buffer.alloc(START_BYTES);
  await handle.read(start, 0, start.length, 0);
  return start;
}
