import { open, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { isQcow2, MAX_HEADER_BYTES, readQcow2Header } from './qcow2-header.ts';

/** libvirt gives up on longer chains than this. */
const MAX_LINKS = 200;

/*
 * Whoever writes an image chooses the names of the files that QEMU opens along with it: an uploaded qcow2 that
 * names /etc/shadow as its backing file would show it to the guest. So a chain may only lead to where the image
 * itself lies, or to a place that the node's administrator has opened, and never to a format that is guessed.
 */

/** What speaks against an image and those behind it; undefined if nothing. Nothing is opened before it is allowed. */
export async function findChainProblem(
  image: string,
  allowedFolders: readonly string[],
): Promise<string | undefined> {
  let current = await realpath(image);
  const folders = await Promise.all(allowedFolders.map(realpathOrSame));
  folders.push(path.dirname(current));
  for (let links = 0; links < MAX_LINKS; links++) {
    const start = await readStart(current);
    if (!isQcow2(start)) return undefined;
    const header = readQcow2Header(start);
    if (header === undefined) return `${current} has a broken qcow2 header; restore it from a copy`;
    if (header.corrupt) {
      return `${current} is marked corrupt; repair it with: qemu-img check -r all ${current}`;
    }
    if (header.encrypted) return `${current} is encrypted, which is not supported; decrypt it`;
    if (header.hasDataFile) {
      return `${current} keeps its data in another file, which is refused; convert it with: qemu-img convert -O qcow2`;
    }
    if (header.backingFile === undefined) return undefined;
    const next = await resolveLink(current, header.backingFile);
    if (next === undefined) {
      return `its backing file ${header.backingFile} does not exist or is not a plain file; rebase it with: qemu-img rebase`;
    }
    if (!folders.some((folder) => isInside(folder, next))) {
      return `its backing file ${next} lies outside ${path.dirname(image)}, where it could be any file of the node; move it there or rebase the image`;
    }
    if (header.backingFormat !== 'qcow2' && header.backingFormat !== 'raw') {
      return `${current} does not say whether its backing file is raw or qcow2; set it with: qemu-img rebase -u -F FORMAT`;
    }
    // What is declared raw is opened raw, so whatever its content says leads nowhere.
    if (header.backingFormat === 'raw') return undefined;
    current = next;
  }
  return `it has more than ${MAX_LINKS} backing files; flatten it with: qemu-img convert`;
}

/** The real path that a backing file's name leads to; undefined for a name that is no existing plain file. */
async function resolveLink(image: string, name: string): Promise<string | undefined> {
  // `json:{…}`, `nbd://…`, `file:…`: QEMU takes what stands before a colon in the first part as a protocol.
  if (/^[^/]*:/.test(name) || name.includes('\0')) return undefined;
  try {
    const target = await realpath(path.resolve(path.dirname(image), name));
    return (await stat(target)).isFile() ? target : undefined;
  } catch {
    return undefined;
  }
}

function isInside(folder: string, file: string): boolean {
  return file.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

async function realpathOrSame(folder: string): Promise<string> {
  return realpath(folder).catch(() => folder);
}

async function readStart(file: string): Promise<Buffer> {
  await using handle = await open(file, 'r');
  // Most files end the matter with their first bytes.
  const magic = Buffer.alloc(8);
  await handle.read(magic, 0, magic.length, 0);
  if (!isQcow2(magic)) return magic;
  const start = Buffer.alloc(MAX_HEADER_BYTES);
  const { bytesRead } = await handle.read(start, 0, start.length, 0);
  return start.subarray(0, bytesRead);
}
