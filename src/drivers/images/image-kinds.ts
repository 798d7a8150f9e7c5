import { formatBytesQuantity } from '../../core/quantity.ts';
import { readVdi, readVmdk, readVpc } from './foreign-headers.ts';
import { LUKS_MAGIC } from './luks-header.ts';
import { isQcow2, QCOW_MAGIC, qcow2SizeBytes, readQcow2Header } from './qcow2-header.ts';
import { shownName } from './shown-name.ts';

/** As much of a content as `kindOf` needs, if there is so much: the name of an ISO 9660 file system stands behind 32 KiB. */
export const KIND_BYTES = 64 * 1024;

/** As qemu-img names those that are taken. */
export type ImageFormat = 'qcow2' | 'vmdk' | 'vdi' | 'vhdx' | 'vpc' | 'raw';

/** What the first bytes of a content show it to be. */
export interface ImageKind {
  /** With an article, as people call it. */
  readonly words: string;
  /** What it is taken as; undefined for what is not taken, or only where it is said to be raw. */
  readonly format: ImageFormat | undefined;
  /** Whether it may be what is on a raw disk, where it is said to be. */
  readonly mayBeRaw: boolean;
  /** As a guest would see it; undefined where the first bytes do not tell. */
  readonly virtualBytes: number | undefined;
  /** Why it is not taken, and what to do: a sentence that goes on after "it". */
  readonly problem: string | undefined;
}

export interface ImageWish {
  /** Undefined for what is seen. */
  readonly format: 'raw' | undefined;
  readonly maxBytes: number;
}

/** What is not there, and so fits no name. */
const UNKNOWN: ImageKind = rawWith('neither a disk image nor anything else that is known here');

type Name = readonly [offset: number, name: string];

/** What is compressed or packed is not taken: what would come out of it has no digest, and may be of any size. */
const PACKED: readonly (readonly [...Name, words: string, remedy: string])[] = [
  [0, '\u{1f}\u{8b}', 'compressed with gzip', 'decompress it first, with: gzip -d FILE'],
  [0, '\u{fd}7zXZ\0', 'compressed with xz', 'decompress it first, with: xz -d FILE'],
  [0, '(\u{b5}/\u{fd}', 'compressed with zstd', 'decompress it first, with: zstd -d FILE'],
  [0, 'BZh', 'compressed with bzip2', 'decompress it first, with: bzip2 -d FILE'],
  [0, '\u{4}"M\u{18}', 'compressed with lz4', 'decompress it first, with: lz4 -d FILE'],
  [0, '\u{2}!L\u{18}', 'compressed with lz4', 'decompress it first, with: lz4 -d FILE'],
  [0, 'LZIP', 'compressed with lzip', 'decompress it first, with: lzip -d FILE'],
  [0, 'PK\u{3}\u{4}', 'a zip archive', 'unpack it first, with: unzip FILE'],
  [0, 'PK\u{5}\u{6}', 'a zip archive', 'unpack it first, with: unzip FILE'],
  [0, "7z\u{bc}\u{af}'\u{1c}", 'a 7z archive', 'unpack it first, with: 7z x FILE'],
  [0, 'Rar!\u{1a}\u{7}', 'a rar archive', 'unpack it first, with: unrar x FILE'],
  [257, 'ustar', 'a tar archive, as an OVA is one', 'unpack the disk in it, with: tar -xf FILE'],
];

const CONVERT = 'convert it first, with: qemu-img convert -O qcow2 FILE NEW-FILE';

/** Disk images of formats that are rare or lead to other files. */
const REFUSED: readonly (readonly [...Name, words: string])[] = [
  [0, `${QCOW_MAGIC}\0\0\0\u{1}`, 'a qcow image of version 1'],
  [0, 'QED\0', 'a QED image'],
  [0, 'COWD', 'a VMDK image of the kind of ESX 3'],
  [0, 'WithoutFreeSpace', 'a Parallels image'],
  [0, 'WithouFreSpacExt', 'a Parallels image'],
];

/** No format of disks, but what raw ones have on them. */
const RAW_CONTENTS: readonly (readonly [...Name, words: string])[] = [
  [512, 'EFI PART', 'a raw disk with a GPT'],
  [4096, 'EFI PART', 'a raw disk with a GPT'],
  [0, LUKS_MAGIC, 'a raw disk that is encrypted with LUKS'],
  [536, 'LVM2 001', 'a raw disk of LVM'],
  [0, 'hsqs', 'a squashfs file system'],
  [0, 'XFSB', 'an XFS file system'],
  [1080, 'S\u{ef}', 'an ext file system'],
  [32_769, 'BEA01', 'a UDF file system'],
  [510, 'U\u{aa}', 'a raw disk with an MBR'],
];

const ISO: Name = [32_769, 'CD001'];

/**
 * What a content is by its first bytes, up to `KIND_BYTES` of them, by which it can be refused before the rest is fetched. By
 * parsers of our own: qemu-img would open the other files that many formats may name.
 */
export function kindOf(start: Buffer): ImageKind {
  const text = start.toString('latin1');
  const has = ([offset, name]: readonly [...Name, ...unknown[]]): boolean =>
    text.startsWith(name, offset);
  if (isQcow2(start)) return qcow2Kind(start);
  const foreign = readVmdk(start) ?? readVdi(start) ?? readVpc(start);
  if (foreign !== undefined) return { ...foreign, mayBeRaw: false };
  if (text.startsWith('vhdxfile')) return taken('a VHDX image', 'vhdx', undefined);
  const refused = REFUSED.find(([offset, name]) => has([offset, name]));
  if (refused !== undefined) {
    return notTaken(refused[2], `is ${refused[2]}, which is not taken; ${CONVERT}`);
  }
  const packed = PACKED.find(([offset, name]) => has([offset, name]));
  if (packed !== undefined) {
    const [, , words, remedy] = packed;
    return notTaken(words, `is ${words}, which is not taken; ${remedy}`);
  }
  if (/^\s*<(!doctype|html|\?xml|head)/i.test(text.slice(0, 256))) {
    return notTaken('a web page', `is a web page or XML and no image; look where its URL leads to`);
  }
  if (has(ISO)) {
    return { words: 'an ISO image', format: 'raw', mayBeRaw: true, ...NOTHING_TOLD };
  }
  const content = RAW_CONTENTS.find(([offset, name]) => has([offset, name]));
  return content === undefined ? UNKNOWN : rawWith(content[2]);
}

/** Why a content of this kind is not taken, and what to do: a sentence that goes on after "it". Undefined if it is. */
export function refusalOf(kind: ImageKind, { format, maxBytes }: ImageWish): string | undefined {
  const isRaw = format === 'raw';
  if (kind.problem !== undefined && !(isRaw && kind.mayBeRaw)) return kind.problem;
  if (isRaw && !kind.mayBeRaw) return `is ${kind.words}, and said to be raw; leave out the format`;
  return sizeProblem(kind.virtualBytes, maxBytes);
}

/** Why an image of so many bytes is not taken, after "it". Undefined for one that may be, and where that is not known yet. */
export function sizeProblem(bytes: number | undefined, maxBytes: number): string | undefined {
  if (bytes === undefined) return undefined;
  if (bytes === 0) return 'is a disk of no bytes; make it anew';
  if (bytes <= maxBytes) return undefined;
  return `is a disk of ${sizeText(bytes)}, and at most ${sizeText(maxBytes)} are taken here; choose a smaller one`;
}

/** In bytes, and as people write sizes where that is shorter. */
export function sizeText(bytes: number): string {
  const count = BigInt(bytes);
  const quantity = formatBytesQuantity(count);
  return quantity === String(count) ? `${count} bytes` : `${count} bytes (${quantity})`;
}

const NOTHING_TOLD = { virtualBytes: undefined, problem: undefined } as const;

function qcow2Kind(start: Buffer): ImageKind {
  const kind = taken('a qcow2 image', 'qcow2', qcow2SizeBytes(start));
  const problem = qcow2Problem(start);
  return problem === undefined ? kind : { ...kind, problem };
}

function qcow2Problem(start: Buffer): string | undefined {
  if (start.readUInt32BE(4) > 3) {
    return `is a qcow2 image of version ${start.readUInt32BE(4)}, and those up to 3 are taken; convert it, with: qemu-img convert -O qcow2 -o compat=1.1 FILE NEW-FILE`;
  }
  const header = readQcow2Header(start);
  if (header === undefined) {
    return 'is a qcow2 image whose header is broken or cut off; fetch it from elsewhere, or make it anew';
  }
  if (header.backingFile !== undefined) {
    return `is a qcow2 image that stands on another file (${shownName(header.backingFile)}), which is refused; make it whole where that file is, with: qemu-img convert -O qcow2 FILE NEW-FILE`;
  }
  if (header.hasDataFile) {
    const name = header.dataFile === undefined ? '' : ` (${shownName(header.dataFile)})`;
    return `is a qcow2 image that keeps its data in another file${name}, which is refused; make it whole where that file is, with: qemu-img convert -O qcow2 FILE NEW-FILE`;
  }
  if (header.encrypted) return `is an encrypted qcow2 image, which is refused; decrypt it first`;
  if (header.corrupt) {
    return 'is a qcow2 image that is marked corrupt; repair it first, with: qemu-img check -r all FILE';
  }
  if (header.unknownFeatures) {
    return 'is a qcow2 image with features that are not known here; convert it first, with: qemu-img convert -O qcow2 FILE NEW-FILE';
  }
  return undefined;
}

function taken(words: string, format: ImageFormat, virtualBytes: number | undefined): ImageKind {
  return { words, format, mayBeRaw: false, virtualBytes, problem: undefined };
}

function notTaken(words: string, problem: string): ImageKind {
  return { words, format: undefined, mayBeRaw: false, virtualBytes: undefined, problem };
}

function rawWith(words: string): ImageKind {
  const problem = `is ${words}; say format: raw if it is to be taken as it is`;
  return { words, format: undefined, mayBeRaw: true, virtualBytes: undefined, problem };
}
