/*
 * A CD-ROM image of a few files: ISO 9660 (ECMA-119) with the long names of Rock Ridge (IEEE P1282, SUSP) and Joliet, of which every
 * system reads one.
 */

const SECTOR = 2048;
/** Two descriptors and their end, then for each tree the path table in both byte orders, and its root folder. */
const AT = { primary: 16, joliet: 17, end: 18, tables: 19, primaryRoot: 23, jolietRoot: 24 };
const FIRST_FILE = 25;
const MOST_NAME = 60;
/** Files that everybody may read. */
const [FILE_MODE, FOLDER_MODE] = [0o100444, 0o040555];
/** 1 January 1980 in UTC: the image depends on nothing but what is in it. */
const NO_DATE = [80, 1, 1, 0, 0, 0, 0];
const NO_LONG_DATE = `${'0'.repeat(16)}\0`;

interface PlacedFile {
  readonly name: string;
  readonly content: Uint8Array;
  readonly sector: number;
}

interface Tree {
  readonly isJoliet: boolean;
  readonly tables: number;
  readonly root: number;
}

/** `label`: at most 16 letters. Files lie side by side; a name has at most 60 of letters, digits, `-`, `_` and `.`. */
export function isoImage(label: string, files: Readonly<Record<string, Uint8Array>>): Buffer {
  const placed = place(files);
  const last = placed.at(-1);
  const sectors = last === undefined ? FIRST_FILE : last.sector + sectorsOf(last.content);
  const image = Buffer.alloc(sectors * SECTOR);
  const primary = { isJoliet: false, tables: AT.tables, root: AT.primaryRoot };
  const joliet = { isJoliet: true, tables: AT.tables + 2, root: AT.jolietRoot };
  for (const [at, tree] of [
    [AT.primary, primary],
    [AT.joliet, joliet],
  ] as const) {
    descriptor(label, sectors, tree).copy(image, at * SECTOR);
    pathTable(tree.root, false).copy(image, tree.tables * SECTOR);
    pathTable(tree.root, true).copy(image, (tree.tables + 1) * SECTOR);
    rootFolder(placed, tree).copy(image, tree.root * SECTOR);
  }
  Buffer.from('\xffCD001\x01', 'latin1').copy(image, AT.end * SECTOR);
  for (const { content, sector } of placed) image.set(content, sector * SECTOR);
  return image;
}

function place(files: Readonly<Record<string, Uint8Array>>): readonly PlacedFile[] {
  let next = FIRST_FILE;
  // In the order in which ISO 9660 wants them.
  return Object.entries(files)
    .toSorted(([left], [right]) => (plainName(left) < plainName(right) ? -1 : 1))
    .map(([name, content]) => {
      if (!/^[\w.-]+$/.test(name) || name.length > MOST_NAME) throw new Error(`No name: ${name}`);
      const sector = next;
      next += sectorsOf(content);
      return { name, content, sector };
    });
}

function sectorsOf({ length }: Uint8Array): number {
  return Math.ceil(length / SECTOR);
}

/** ECMA-119 8.4, and for Joliet 8.5. */
function descriptor(label: string, sectors: number, { isJoliet, tables, root }: Tree): Buffer {
  const text = (letters: string, length: number): Buffer =>
    isJoliet
      ? bigEndian(letters.padEnd(length / 2, ' ').slice(0, length / 2), length)
      : Buffer.from(letters.padEnd(length, ' '), 'latin1');
  const parts = [
    Buffer.from(`${isJoliet ? '\x02' : '\x01'}CD001\x01\0`, 'latin1'),
    text('LINUX', 32),
    text(label, 32),
    Buffer.alloc(8),
    both32(sectors),
    // UCS-2 of level 3.
    Buffer.from((isJoliet ? '%/E' : '').padEnd(32, '\0'), 'latin1'),
    both16(1),
    both16(1),
    both16(SECTOR),
    both32(pathTable(root, false).length),
    number32(tables, false),
    number32(0, false),
    number32(tables + 1, true),
    number32(0, true),
    record({ id: '\0', sector: root, length: SECTOR, isFolder: true }),
    ...[128, 128, 128, 128, 37, 37, 37].map((length) => text('', length)),
    Buffer.from(NO_LONG_DATE.repeat(4), 'latin1'),
    Buffer.from([1]),
  ];
  return Buffer.concat(parts, SECTOR);
}

/** Of the root folder alone (9.4). */
function pathTable(root: number, isBigEndian: boolean): Buffer {
  const parent = isBigEndian ? [0, 1] : [1, 0];
  return Buffer.concat([
    Buffer.from([1, 0]),
    number32(root, isBigEndian),
    Buffer.from([...parent, 0, 0]),
  ]);
}

function rootFolder(files: readonly PlacedFile[], { isJoliet, root }: Tree): Buffer {
  const self = { sector: root, length: SECTOR, isFolder: true };
  const ofFolder = Buffer.concat([SHARING_PROTOCOL, posixAttributes(FOLDER_MODE, 2)]);
  const records = [
    record({ ...self, id: '\0', more: isJoliet ? undefined : ofFolder }),
    record({ ...self, id: '\x01', more: isJoliet ? undefined : posixAttributes(FOLDER_MODE, 2) }),
    ...files.map(({ name, content, sector }) => {
      const about = { sector, length: content.length, isFolder: false };
      if (isJoliet) return record({ ...about, id: bigEndian(name, 2 * name.length) });
      const more = Buffer.concat([posixAttributes(FILE_MODE, 1), longName(name)]);
      return record({ ...about, id: plainName(name), more });
    }),
  ];
  const folder = Buffer.concat(records);
  if (folder.length > SECTOR) throw new Error(`Too many files for an image: ${files.length}`);
  return folder;
}

interface RecordParts {
  readonly id: string | Buffer;
  readonly sector: number;
  readonly length: number;
  readonly isFolder: boolean;
  readonly more?: Buffer | undefined;
}

/** 9.1. */
function record({ id, sector, length, isFolder, more = Buffer.alloc(0) }: RecordParts): Buffer {
  const name = typeof id === 'string' ? Buffer.from(id, 'latin1') : id;
  const padding = Buffer.alloc(name.length % 2 === 0 ? 1 : 0);
  const parts = [
    both32(sector),
    both32(length),
    Buffer.from([...NO_DATE, isFolder ? 2 : 0, 0, 0]),
    both16(1),
    Buffer.from([name.length]),
    name,
    padding,
    more,
  ];
  const size = parts.reduce((sum, part) => sum + part.length, 2);
  // A record begins at an even byte.
  return Buffer.concat([Buffer.from([size + (size % 2), 0]), ...parts], size + (size % 2));
}

/** What says that there is Rock Ridge at all. */
const SHARING_PROTOCOL = Buffer.from('SP\x07\x01\xbe\xef\0', 'latin1');

function posixAttributes(mode: number, links: number): Buffer {
  const numbers = [mode, links, 0, 0].map(both32);
  return Buffer.concat([Buffer.from('PX\x24\x01', 'latin1'), ...numbers]);
}

function longName(name: string): Buffer {
  return Buffer.concat([
    Buffer.from(`NM${String.fromCharCode(5 + name.length)}\x01\0`, 'latin1'),
    Buffer.from(name, 'latin1'),
  ]);
}

/** For systems that know nothing but ISO 9660, at most 30 characters of a small alphabet. */
function plainName(name: string): string {
  return `${name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '_')
    .slice(0, 28)}.;1`;
}

function bigEndian(text: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (const [at, letter] of Array.from(text).entries())
    bytes.writeUInt16BE(letter.charCodeAt(0), 2 * at);
  return bytes;
}

function number32(value: number, isBigEndian: boolean): Buffer {
  const bytes = Buffer.alloc(4);
  if (isBigEndian) bytes.writeUInt32BE(value);
  else bytes.writeUInt32LE(value);
  return bytes;
}

function both32(value: number): Buffer {
  return Buffer.concat([number32(value, false), number32(value, true)]);
}

function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}
