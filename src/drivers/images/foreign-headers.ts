import { shownName } from './shown-name.ts';

/*
 * What of the headers of other makers' images tells their size, and whether they refer to other files. All are hostile files'.
 */

export interface ForeignImage {
  /** With an article, as people call it. */
  readonly words: string;
  /** As qemu-img calls it. */
  readonly format: 'vmdk' | 'vdi' | 'vhdx' | 'vpc';
  /** As a guest would see it; undefined where the header does not tell. */
  readonly virtualBytes: number | undefined;
  /** Why it is not taken, and what to do: a sentence that goes on after "it". */
  readonly problem: string | undefined;
}

const SECTOR_BYTES = 512;
const MAKE_WHOLE = 'make it whole where that is, with: qemu-img convert -O qcow2 FILE NEW-FILE';
const ANEW = 'fetch it from elsewhere, or make it anew';

/*
 * VMDK, little-endian (VMware's Virtual Disk Format 5.0):
 *
 *   0 "KDMV"   12 capacity in sectors (8)   28 first sector of the descriptor (8)   36 its sectors (8)
 *
 * The descriptor is text, and names the parent and the extents.
 */

const DESCRIPTOR_ALONE = '# Disk DescriptorFile';
const VMDK_HEADER_BYTES = 79;
/** QEMU looks at no more of it either. */
const MAX_DESCRIPTOR_BYTES = 20 * SECTOR_BYTES;
const WHOLE_KINDS = ['monolithicSparse', 'streamOptimized'];
const NO_PARENT = 'ffffffff';
const PART = `is one part of a VMDK image of several files, which is refused; ${MAKE_WHOLE}`;

/** Undefined for what is none. */
export function readVmdk(start: Buffer): ForeignImage | undefined {
  const text = start.toString('latin1');
  if (text.startsWith(DESCRIPTOR_ALONE)) {
    const extent = /^\s*(?:RW|RDONLY)\s+\d+\s+\w+\s+"([^"]*)"/m.exec(text)?.[1];
    const named = extent === undefined ? '' : ` (${shownName(extent)})`;
    const problem = `is the description of a VMDK image whose data is in another file${named}, which is refused; ${MAKE_WHOLE}`;
    return { words: 'the description of a VMDK image', ...refused('vmdk', problem) };
  }
  if (!text.startsWith('KDMV')) return undefined;
  const words = 'a VMDK image';
  if (start.length < VMDK_HEADER_BYTES) return { words, ...refused('vmdk', brokenText(words)) };
  const virtualBytes = Number(start.readBigUInt64LE(12)) * SECTOR_BYTES;
  const at = Number(start.readBigUInt64LE(28)) * SECTOR_BYTES;
  const length = Math.min(Number(start.readBigUInt64LE(36)) * SECTOR_BYTES, MAX_DESCRIPTOR_BYTES);
  if (at === 0 || length === 0) {
    return { words, ...refused('vmdk', PART) };
  }
  // QEMU takes one without a capacity for a mere description, and opens the extents that it names.
  if (virtualBytes === 0 || at + length > start.length) {
    return { words, ...refused('vmdk', brokenText(words)) };
  }
  const problem = descriptorProblem(text.slice(at, at + length));
  return { words, format: 'vmdk', virtualBytes, problem };
}

function descriptorProblem(text: string): string | undefined {
  const parent = /parentFileNameHint\s*=\s*"([^"]*)"/.exec(text)?.[1];
  const parentId = /parentCID\s*=\s*([0-9a-f]+)/i.exec(text)?.[1]?.toLowerCase();
  if (parent !== undefined || (parentId !== undefined && parentId !== NO_PARENT)) {
    const named = parent === undefined ? '' : ` (${shownName(parent)})`;
    return `is a VMDK image that stands on another one${named}, which is refused; ${MAKE_WHOLE}`;
  }
  const kind = /createType\s*=\s*"([^"]*)"/.exec(text)?.[1];
  if (kind === undefined) return PART;
  if (WHOLE_KINDS.includes(kind)) return undefined;
  return `is a VMDK image of the kind ${shownName(kind)}, and ${WHOLE_KINDS.join(' and ')} are taken; ${MAKE_WHOLE}`;
}

/*
 * VDI, little-endian (VirtualBox's VDICore.h):
 *
 *   64 signature   76 type: 1 dynamic, 2 fixed, 3 undo, 4 differences   368 size (8)   424 UUID of the link (16)   440 of the parent (16)
 */

const VDI_SIGNATURE = 0xbe_da_10_7f;
const VDI_HEADER_BYTES = 512;

/** Undefined for what is none. */
export function readVdi(start: Buffer): ForeignImage | undefined {
  if (start.length < 68 || start.readUInt32LE(64) !== VDI_SIGNATURE) return undefined;
  const words = 'a VDI image';
  if (start.length < VDI_HEADER_BYTES) return { words, ...refused('vdi', brokenText(words)) };
  const type = start.readUInt32LE(76);
  const hasParent = start.subarray(424, 456).some((byte) => byte !== 0);
  const problem =
    hasParent || (type !== 1 && type !== 2)
      ? `is a VDI image that stands on another one, which is refused; ${MAKE_WHOLE}`
      : undefined;
  return { words, format: 'vdi', virtualBytes: Number(start.readBigUInt64LE(368)), problem };
}

/*
 * VHD, big-endian (Microsoft's Virtual Hard Disk Image Format Specification): what ends it stands at the start too of one that is
 * not fixed.
 *
 *   0 "conectix"   48 size (8)   60 type: 2 fixed, 3 dynamic, 4 differences
 */

const VPC_HEADER_BYTES = 512;
const VPC_DYNAMIC = 3;

/** Undefined for what is none. */
export function readVpc(start: Buffer): ForeignImage | undefined {
  if (!start.toString('latin1', 0, 8).startsWith('conectix')) return undefined;
  const words = 'a VHD image';
  if (start.length < VPC_HEADER_BYTES) return { words, ...refused('vpc', brokenText(words)) };
  const problem =
    start.readUInt32BE(60) === VPC_DYNAMIC
      ? undefined
      : `is a VHD image that stands on another one, which is refused; ${MAKE_WHOLE}`;
  return { words, format: 'vpc', virtualBytes: Number(start.readBigUInt64BE(48)), problem };
}

/*
 * VHDX, little-endian (MS-VHDX). A table of regions, at 192 KiB, leads to the metadata, a table of which leads to its items:
 *
 *   regions: 0 "regi"   8 entries (4)   16 entry: GUID (16), offset in the file (8), length (4), flags (4)
 *   metadata: 0 "metadata"   10 entries (2)   32 entry: GUID (16), offset in the metadata (4), length (4), flags (8)
 */

export const VHDX_REGIONS_AT = 192 * 1024;
/** Of a table, and of the metadata with what they lead to. */
export const VHDX_TABLE_BYTES = 1024 * 1024;
const METADATA_REGION = '06a27c8b90479a4bb8fe575f050f886e';
const FILE_PARAMETERS = '3767a1ca36fa434db3b633f0aa44e76b';
const DISK_SIZE = '2442a52f1bcd7648b2115dbed83bf4b8';
const HAS_PARENT_BIT = 2;

/** Where the metadata begins; undefined for a table that is broken. */
export function vhdxMetadataAt(regions: Buffer): number | undefined {
  if (regions.length < 16 || regions.toString('latin1', 0, 4) !== 'regi') return undefined;
  const count = regions.readUInt32LE(8);
  for (let index = 0, at = 16; index < count && at + 32 <= regions.length; index += 1, at += 32) {
    if (regions.toString('hex', at, at + 16) !== METADATA_REGION) continue;
    const found = Number(regions.readBigUInt64LE(at + 16));
    return Number.isSafeInteger(found) ? found : undefined;
  }
  return undefined;
}

/** Of one whose metadata are broken too. */
export function readVhdx(metadata: Buffer): ForeignImage {
  const words = 'a VHDX image';
  const parameters = vhdxItem(metadata, FILE_PARAMETERS);
  const size = vhdxItem(metadata, DISK_SIZE);
  if (parameters === undefined || size === undefined) {
    return { words, ...refused('vhdx', brokenText(words)) };
  }
  const hasParent = (parameters.readUInt32LE(4) & HAS_PARENT_BIT) !== 0;
  const problem = hasParent
    ? `is a VHDX image that stands on another one, which is refused; ${MAKE_WHOLE}`
    : undefined;
  return { words, format: 'vhdx', virtualBytes: Number(size.readBigUInt64LE(0)), problem };
}

/** The first eight bytes of an item. */
function vhdxItem(metadata: Buffer, id: string): Buffer | undefined {
  if (metadata.length < 32 || metadata.toString('latin1', 0, 8) !== 'metadata') return undefined;
  const count = metadata.readUInt16LE(10);
  for (let index = 0, at = 32; index < count && at + 32 <= metadata.length; index += 1, at += 32) {
    if (metadata.toString('hex', at, at + 16) !== id) continue;
    const offset = metadata.readUInt32LE(at + 16);
    return offset + 8 <= metadata.length ? metadata.subarray(offset, offset + 8) : undefined;
  }
  return undefined;
}

function refused(format: ForeignImage['format'], problem: string): Omit<ForeignImage, 'words'> {
  return { format, virtualBytes: undefined, problem };
}

function brokenText(words: string): string {
  return `is ${words} whose header is broken or cut off; ${ANEW}`;
}
