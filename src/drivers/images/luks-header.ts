/*
 * The start of a LUKS container of version 1, big-endian (the LUKS1 On-Disk Format Specification): QEMU makes and opens no other.
 *
 *   0 magic "LUKS\xba\xbe"   6 version (2)   104 first sector of what is encrypted (4)
 */

/** How every one begins, whichever version. */
export const LUKS_MAGIC = 'LUKS\u{ba}\u{be}';

const PAYLOAD_OFFSET = 104;
export const LUKS_HEADER_BYTES = PAYLOAD_OFFSET + 4;
const SECTOR_BYTES = 512;

export function isLuks(start: Buffer): boolean {
  return start.toString('latin1', 0, LUKS_MAGIC.length) === LUKS_MAGIC;
}

/** Where what its guest sees begins, in bytes. `start` are at least its first 108 bytes. */
export function luksPayloadOffset(start: Buffer): number {
  return start.readUInt32BE(PAYLOAD_OFFSET) * SECTOR_BYTES;
}
