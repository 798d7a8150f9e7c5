import { constants, createGunzip } from 'node:zlib';

const BLOCK = 512;
/** Of what 64 KiB of gzip hold, which may be 64 MiB. */
const MOST_UNPACKED = 128 * 1024;

/** What a layer has the disk as: `tar`, with or without gzip; undefined for what is no tar: the disk itself. */
export type Packing = 'tar' | 'gzip' | undefined;

export function packingOf(start: Buffer): Packing {
  if (start.length > 2 && start.readUInt16BE(0) === 0x1f8b) return 'gzip';
  return isTar(start) ? 'tar' : undefined;
}

function isTar(start: Buffer): boolean {
  return start.length >= BLOCK && start.toString('latin1', 257, 262) === 'ustar';
}

/** The only file in a container disk. */
export interface PackedDisk {
  /** `disk/FILE`. */
  readonly name: string;
  readonly bytes: number;
  /** As much of it as is known. */
  readonly start: Buffer;
}

/** Why what is in a layer is not taken, after "it". */
export class UnusableLayer extends Error {}

/** What the first bytes of a layer say of the disk in it. Throws an UnusableLayer. */
export async function readPackedStart(start: Buffer, packing: 'tar' | 'gzip'): Promise<PackedDisk> {
  const unpacked = packing === 'gzip' ? await unpackStart(start) : start;
  if (!isTar(unpacked)) {
    throw new UnusableLayer(
      'has a layer that is compressed and no tar; push the disk as it is, or in a tar as disk/FILE',
    );
  }
  return findDisk(unpacked);
}

/** As much as can be told of what is cut off, and no more than is of use. */
async function unpackStart(start: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
  gunzip.end(start);
  try {
    for await (const chunk of gunzip) {
      chunks.push(chunk as Buffer);
      bytes += (chunk as Buffer).length;
      if (bytes >= MOST_UNPACKED) break;
    }
  } catch {
    // tar says what is wrong with it, if it comes to that.
  } finally {
    gunzip.destroy();
  }
  return Buffer.concat(chunks).subarray(0, MOST_UNPACKED);
}

function findDisk(tar: Buffer): PackedDisk {
  let longName: string | undefined;
  let longSize: number | undefined;
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const header = tar.subarray(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const bytes = sizeIn(header);
    const kind = String.fromCharCode(header[156] ?? 0);
    const next = at + BLOCK + Math.ceil(bytes / BLOCK) * BLOCK;
    const content = tar.subarray(at + BLOCK, at + BLOCK + bytes);
    if (kind === 'L') longName = textIn(content);
    if (kind === 'x' || kind === 'g') {
      const { name, size } = readPax(content);
      longName = name ?? longName;
      longSize = size ?? longSize;
    }
    if ('LKxg'.includes(kind)) {
      at = next;
      continue;
    }
    const name = longName ?? nameIn(header);
    assertTaken(name, kind === '\0' ? '0' : kind);
    if (kind !== '5') {
      const size = longSize ?? bytes;
      return { name, bytes: size, start: tar.subarray(at + BLOCK, at + BLOCK + size) };
    }
    longName = undefined;
    longSize = undefined;
    at = next;
  }
  throw new UnusableLayer('has no disk/FILE at the start of its layer; push a container disk');
}

/** The kinds of entries of a tar that are not taken, by what `tar --list` and the format itself call them. */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  1: 'a link',
  h: 'a link',
  2: 'a link',
  l: 'a link',
  3: 'a device',
  c: 'a device',
  4: 'a device',
  b: 'a device',
  6: 'a pipe',
  p: 'a pipe',
  S: 'a file with holes',
};

/** `kind` is `0` or `-` for a file, `5` or `d` for a folder. Throws an UnusableLayer for what a container disk must not have. */
export function assertTaken(name: string, kind: string): void {
  const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
  const parts = name
    .replace(/^(\.\/)+/, '')
    .split('/')
    .filter((part) => part !== '');
  if (name.startsWith('/') || parts.includes('..')) {
    throw new UnusableLayer(`has ${shown} in its layer, a path that leads out of it`);
  }
  if (kind === '5' || kind === 'd') return;
  if (kind !== '0' && kind !== '-') {
    const what = OTHER_KINDS[kind] ?? `something of the kind ${JSON.stringify(kind)}`;
    throw new UnusableLayer(`has ${what} in its layer (${shown}), and only disk/FILE is taken`);
  }
  if (parts.length === 2 && parts[0] === 'disk') return;
  throw new UnusableLayer(`has ${shown} in its layer, and only one disk/FILE is taken`);
}

/** A number in octal, or, with the highest bit set, in binary. */
function sizeIn(header: Buffer): number {
  const field = header.subarray(124, 136);
  const isBinary = ((field[0] ?? 0) & 0x80) !== 0;
  const size = isBinary
    ? Number(field.readBigUInt64BE(4))
    : Number.parseInt(textIn(field).trim() || '0', 8);
  if (Number.isSafeInteger(size) && size >= 0) return size;
  throw new UnusableLayer('has a layer that is no good tar; make it anew');
}

function nameIn(header: Buffer): string {
  const name = textIn(header.subarray(0, 100));
  const isPosix = header.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? textIn(header.subarray(345, 500)) : '';
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textIn(field: Buffer): string {
  return field.toString('latin1').replace(/\0.*$/s, '');
}

/** Records `LENGTH KEY=VALUE\n`. */
function readPax(content: Buffer): { readonly name?: string; readonly size?: number } {
  const found: { name?: string; size?: number } = {};
  for (const [, key = '', value = ''] of content
    .toString('latin1')
    .matchAll(/\d+ ([^=\n]+)=([^\n]*)\n/g)) {
    if (key.startsWith('GNU.sparse')) assertTaken(value, 'S');
    if (key === 'path') found.name = value;
    if (key === 'size' && /^\d{1,15}$/.test(value)) found.size = Number(value);
  }
  return found;
}
