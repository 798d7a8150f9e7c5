/*
 * A CD-ROM image of a few files: ISO 9660 (ECMA-119) with the long names of Rock Ridge (IEEE P1282, SUSP) and Joliet, of which every
 * system reads one.
 */

const SECTOR = 2048;
/** Two descriptors and their end, then for each tree the path table in both byte orders, then all its folders, a sector each. */
const AT = { primary: 16, joliet: 17, end: 18, tables: 19, folders: 23 };
const MOST_NAME = 60;
const MOST_DEPTH = 8;
/** Files that everybody may read. */
const [FILE_MODE, FOLDER_MODE] = [0o100444, 0o040555];
/** 1 January 1980 in UTC: the image depends on nothing but what is in it. */
const NO_DATE = [80, 1, 1, 0, 0, 0, 0];
const NO_LONG_DATE = `${'0'.repeat(16)}\0`;

interface PlacedFile {
  readonly folder: string;
  readonly name: string;
  readonly content: Uint8Array;
  readonly sector: number;
}

/** By its path, without a slash at either end; that of the root is empty. */
interface Folder {
  readonly path: string;
  readonly parent: string;
  readonly name: string;
}

interface Tree {
  readonly isJoliet: boolean;
  readonly tables: number;
  /** Sector of its first folder, the root. */
  readonly root: number;
  /** In the order of the path table, which gives them their numbers. */
  readonly folders: readonly Folder[];
}

/**
 * `label`: at most 16 letters. Files by their paths, such as `latest/user_data`; a name has at most 60 of letters, digits, `-`, `_` and
 * `.`.
 */
export function isoImage(label: string, files: Readonly<Record<string, Uint8Array>>): Buffer {
  const folders = foldersOf(Object.keys(files));
  const placed = place(files, AT.folders + 2 * folders.length);
  const last = placed.at(-1);
  const end = AT.folders + 2 * folders.length;
  const sectors = last === undefined ? end : last.sector + sectorsOf(last.content);
  const image = Buffer.alloc(sectors * SECTOR);
  const primary = { isJoliet: false, tables: AT.tables, root: AT.folders, folders };
  const joliet = {
    isJoliet: true,
    tables: AT.tables + 2,
    root: AT.folders + folders.length,
    folders,
  };
  for (const [at, tree] of [
    [AT.primary, primary],
    [AT.joliet, joliet],
  ] as const) {
    descriptor(label, sectors, tree).copy(image, at * SECTOR);
    pathTable(tree, false).copy(image, tree.tables * SECTOR);
    pathTable(tree, true).copy(image, (tree.tables + 1) * SECTOR);
    for (const folder of folders) {
      folderRecords(folder, placed, tree).copy(image, sectorOf(folder.path, tree) * SECTOR);
    }
  }
  Buffer.from('\xffCD001\x01', 'latin1').copy(image, AT.end * SECTOR);
  for (const { content, sector } of placed) image.set(content, sector * SECTOR);
  return image;
}

/** The folders that paths lead through, in the order of a path table (6.9.1): by level, by parent, by name. */
function foldersOf(paths: readonly string[]): readonly Folder[] {
  const inner = paths.flatMap((path) => {
    const parts = path.split('/');
    return parts.slice(1).map((_, depth) => parts.slice(0, depth + 1).join('/'));
  });
  const all = [...new Set(['', ...inner])].map((path) => ({ path, ...splitPath(path) }));
  const depthOf = ({ path }: Folder) => (path === '' ? 0 : path.split('/').length);
  // A parent is shorter than what is in it, so that those of one level stand in the order of their parents.
  return all
    .map(({ path, folder, name }) => ({ path, parent: folder, name }))
    .toSorted((left, right) => depthOf(left) - depthOf(right) || (left.path < right.path ? -1 : 1));
}

function splitPath(path: string): { readonly folder: string; readonly name: string } {
  const at = path.lastIndexOf('/');
  return { folder: at < 0 ? '' : path.slice(0, at), name: path.slice(at + 1) };
}

function sectorOf(path: string, { root, folders }: Tree): number {
  return root + folders.findIndex((folder) => folder.path === path);
}

function place(
  files: Readonly<Record<string, Uint8Array>>,
  firstSector: number,
): readonly PlacedFile[] {
  let next = firstSector;
  // In the order in which ISO 9660 wants them.
  return Object.entries(files)
    .toSorted(([left], [right]) => (plainName(left) < plainName(right) ? -1 : 1))
    .map(([path, content]) => {
      const parts = path.split('/');
      const isTaken = Object.keys(files).some((other) => other.startsWith(`${path}/`));
      if (!parts.every(isName) || parts.length > MOST_DEPTH || isTaken) {
        throw new Error(`No name: ${path}`);
      }
      const sector = next;
      next += sectorsOf(content);
      return { ...splitPath(path), content, sector };
    });
}

function isName(part: string): boolean {
  return /^[\w.-]+$/.test(part) && !/^\.{1,2}$/.test(part) && part.length <= MOST_NAME;
}

function sectorsOf({ length }: Uint8Array): number {
  return Math.ceil(length / SECTOR);
}

/** ECMA-119 8.4, and for Joliet 8.5. */
function descriptor(label: string, sectors: number, tree: Tree): Buffer {
  const { isJoliet, tables, root } = tree;
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
    both32(pathTable(tree, false).length),
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

/** 9.4. */
function pathTable(tree: Tree, isBigEndian: boolean): Buffer {
  const { folders, isJoliet } = tree;
  const entries = folders.map(({ path, parent, name }) => {
    const id = path === '' ? Buffer.from([0]) : idOf(folderName(name), name, isJoliet);
    const number = 1 + folders.findIndex((folder) => folder.path === parent);
    const entry = Buffer.concat([
      Buffer.from([id.length, 0]),
      number32(sectorOf(path, tree), isBigEndian),
      Buffer.from(isBigEndian ? [0, number] : [number, 0]),
      id,
    ]);
    return Buffer.concat([entry], entry.length + (entry.length % 2));
  });
  return Buffer.concat(entries);
}

function folderRecords({ path, parent }: Folder, files: readonly PlacedFile[], tree: Tree): Buffer {
  const { isJoliet, folders } = tree;
  const inside = folders.filter((folder) => folder.parent === path && folder.path !== '');
  const attributesOf = (of: string): Buffer => {
    const links = 2 + folders.filter((folder) => folder.parent === of && folder.path !== '').length;
    return posixAttributes(FOLDER_MODE, links);
  };
  const about = (of: string) => ({
    sector: sectorOf(of, tree),
    length: SECTOR,
    isFolder: true,
  });
  const ofSelf = Buffer.concat([...(path === '' ? [SHARING_PROTOCOL] : []), attributesOf(path)]);
  const entries = [
    ...inside.map((folder) => ({
      ...about(folder.path),
      plain: folderName(folder.name),
      name: folder.name,
      attributes: attributesOf(folder.path),
    })),
    ...files
      .filter(({ folder }) => folder === path)
      .map(({ name, content, sector }) => ({
        sector,
        length: content.length,
        isFolder: false,
        plain: plainName(name),
        name,
        attributes: posixAttributes(FILE_MODE, 1),
      })),
  ].toSorted((left, right) => (left.plain < right.plain ? -1 : 1));
  const records = [
    record({ ...about(path), id: '\0', more: isJoliet ? undefined : ofSelf }),
    record({ ...about(parent), id: '\x01', more: isJoliet ? undefined : attributesOf(parent) }),
    ...entries.map(({ plain, name, attributes, ...entry }) => {
      const more = isJoliet ? undefined : Buffer.concat([attributes, longName(name)]);
      return record({ ...entry, id: idOf(plain, name, isJoliet), more });
    }),
  ];
  const folder = Buffer.concat(records);
  if (folder.length > SECTOR) throw new Error(`Too many files for an image: ${entries.length}`);
  return folder;
}

function idOf(plain: string, name: string, isJoliet: boolean): Buffer {
  return isJoliet ? bigEndian(name, 2 * name.length) : Buffer.from(plain, 'latin1');
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
  return `${folderName(name)}.;1`;
}

function folderName(name: string): string {
  return name
    .toUpperCase()
    .replaceAll(/[^A-Z0-9]/g, '_')
    .slice(0, 28);
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
