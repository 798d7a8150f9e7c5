import { promisify } from 'node:util';
import { crc32, deflate } from 'node:zlib';
import type { Picture } from '../hypervisor-consoles.ts';

const PIXMAP_HEAD = /^P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s/;
const MAX_PIXMAP_HEAD_BYTES = 64;
const BYTES_PER_POINT = 3;

// PNG, third edition: 5.2 the signature, 5.3 chunks, 11.2.1 IHDR
const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
const END = Buffer.from('\0\0\0\0IEND\xaeB`\x82', 'latin1');
const HEADER = { width: 16, height: 20, endsAt: 33 } as const;
const EIGHT_BITS = 8;
const TRUE_COLOUR = 2;

/** A picture as QEMU sends it: PNG since 7.1, a binary pixmap before that. Undefined if it is neither, or not all of it. */
export async function readPicture(data: Buffer): Promise<Picture | undefined> {
  if (data.subarray(0, SIGNATURE.length).equals(SIGNATURE)) return readPng(data);
  return await encodePixmap(data);
}

function readPng(png: Buffer): Picture | undefined {
  const isWhole = png.length > HEADER.endsAt && png.subarray(-END.length).equals(END);
  if (!isWhole) return undefined;
  return { width: png.readUInt32BE(HEADER.width), height: png.readUInt32BE(HEADER.height), png };
}

/** From netpbm's ppm(5) of eight bits a colour. */
async function encodePixmap(data: Buffer): Promise<Picture | undefined> {
  const head = PIXMAP_HEAD.exec(data.toString('latin1', 0, MAX_PIXMAP_HEAD_BYTES));
  if (head === null) return undefined;
  const [width, height] = [Number(head[1]), Number(head[2])];
  const rowBytes = width * BYTES_PER_POINT;
  const pixels = data.subarray(head[0].length);
  if (width === 0 || height === 0 || pixels.length < rowBytes * height) return undefined;
  // Before each row stands how it is filtered: not at all.
  const rows = Buffer.alloc((rowBytes + 1) * height);
  for (let row = 0; row < height; row += 1) {
    pixels.copy(rows, row * (rowBytes + 1) + 1, row * rowBytes, (row + 1) * rowBytes);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([EIGHT_BITS, TRUE_COLOUR], 8);
  const compressed = await promisify(deflate)(rows);
  const png = Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', compressed), END]);
  return { width, height, png };
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const whole = Buffer.alloc(named.length + 8);
  whole.writeUInt32BE(data.length, 0);
  named.copy(whole, 4);
  whole.writeUInt32BE(crc32(named), named.length + 4);
  return whole;
}
