/*
 * The start of a qcow2 file, big-endian (QEMU's docs/interop/qcow2.txt):
 *
 *   0 magic "QFI\xfb"   4 version   8 backing name offset (8)   16 backing name length   24 size (8)   32 encryption
 *   72 incompatible features (8, version 3)   100 header length (version 3)
 *   then extensions up to the backing name: type (4), length (4), data padded to 8
 */

/** What of a qcow2 header can lead to other files or keep QEMU from using the image. */
export interface Qcow2Header {
  /** As written: relative to the image, absolute, or in QEMU's `json:` and `protocol:` forms. */
  readonly backingFile: string | undefined;
  /** Undefined where QEMU would guess from the content. */
  readonly backingFormat: string | undefined;
  readonly hasDataFile: boolean;
  /** As written; undefined where there is none, or it has no name. */
  readonly dataFile: string | undefined;
  /** Without which the image cannot be read, and that are none of these. */
  readonly unknownFeatures: boolean;
  readonly encrypted: boolean;
  readonly corrupt: boolean;
}

/** The largest part of a file that a header may take: one cluster of the largest size. */
export const MAX_HEADER_BYTES = 2 * 1024 * 1024;

/** How every qcow file begins, whichever version. */
export const QCOW_MAGIC = 'QFI\u{fb}';
const MAGIC = Buffer.from(QCOW_MAGIC, 'latin1').readUInt32BE();
const SIZE_OFFSET = 24;
const ENCRYPTION_OFFSET = 32;
const BACKING_FORMAT = 0xe2_79_2a_ca;
const DATA_FILE = 0x44_41_54_41;
const CORRUPT_BIT = 2;
const DATA_FILE_BIT = 4;
/** Dirty, corrupt, data file, compression type and extended L2 entries. */
const KNOWN_BITS = 0b1_1111;
/** QEMU's own limit. */
const MAX_BACKING_NAME = 1023;

export function isQcow2(start: Buffer): boolean {
  return start.length >= 8 && start.readUInt32BE(0) === MAGIC && start.readUInt32BE(4) >= 2;
}

/** What the guest sees, in bytes; undefined for what is no qcow2, or is cut off. */
export function qcow2SizeBytes(start: Buffer): number | undefined {
  if (!isQcow2(start) || start.length < SIZE_OFFSET + 8) return undefined;
  return Number(start.readBigUInt64BE(SIZE_OFFSET));
}

/** `start` are at least its first 36 bytes. */
export function qcow2IsEncrypted(start: Buffer): boolean {
  return start.readUInt32BE(ENCRYPTION_OFFSET) !== 0;
}

/** Undefined for a header that is cut off or breaks QEMU's limits. `start` is a hostile file's first bytes. */
export function readQcow2Header(start: Buffer): Qcow2Header | undefined {
  if (!isQcow2(start) || start.length < 72) return undefined;
  const version = start.readUInt32BE(4);
  if (version > 3 || (version === 3 && start.length < 104)) return undefined;
  const nameOffset = Number(start.readBigUInt64BE(8));
  const nameLength = nameOffset === 0 ? 0 : start.readUInt32BE(16);
  if (nameLength > MAX_BACKING_NAME || nameOffset + nameLength > start.length) return undefined;
  const features = version === 3 ? start.readUInt32BE(76) : 0;
  const upperFeatures = version === 3 ? start.readUInt32BE(72) : 0;
  const headerLength = version === 3 ? start.readUInt32BE(100) : 72;
  if (version === 3 && headerLength < 104) return undefined;
  const extensions = readExtensions(start, headerLength, nameOffset);
  if (extensions === undefined) return undefined;
  return {
    backingFile:
      nameLength === 0 ? undefined : start.toString('utf8', nameOffset, nameOffset + nameLength),
    backingFormat: extensions.get(BACKING_FORMAT)?.toString('utf8'),
    hasDataFile: (features & DATA_FILE_BIT) !== 0 || extensions.has(DATA_FILE),
    dataFile: extensions.get(DATA_FILE)?.toString('utf8'),
    unknownFeatures: upperFeatures !== 0 || (features & ~KNOWN_BITS) !== 0,
    encrypted: qcow2IsEncrypted(start),
    corrupt: (features & CORRUPT_BIT) !== 0,
  };
}

function readExtensions(
  start: Buffer,
  from: number,
  nameOffset: number,
): ReadonlyMap<number, Buffer> | undefined {
  const end = nameOffset === 0 ? start.length : nameOffset;
  if (from > end) return undefined;
  const found = new Map<number, Buffer>();
  for (let at = from; at + 8 <= end; ) {
    const type = start.readUInt32BE(at);
    if (type === 0) return found;
    const length = start.readUInt32BE(at + 4);
    if (at + 8 + length > end) return undefined;
    found.set(type, start.subarray(at + 8, at + 8 + length));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}
