import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import type { ImageProblem } from '../images.ts';
import { isQcow2, MAX_HEADER_BYTES, type Qcow2Header, readQcow2Header } from './qcow2-header.ts';
import { type Lead, whereItLeads } from './where-it-leads.ts';

/** libvirt gives up on longer chains than this. */
const MAX_LINKS = 200;

/** An image with those behind it, as far as they may be followed. */
export interface Chain {
  /** Real paths, the image first. */
  readonly files: readonly string[];
  readonly problem: ImageProblem | undefined;
}

type Judge = (real: string) => Promise<ImageProblem | undefined>;

/**
 * Whoever writes an image chooses the names of the files that QEMU opens along with it: an uploaded qcow2 that names /etc/shadow as
 * its backing file would show it to the guest. So each is asked about before it is opened, and a format is never guessed. `image`
 * is a real path, and qcow2 if it is anything that leads on. What is behind it is never encrypted.
 */
export async function readChain(
  image: string,
  judge: Judge,
  { mayBeEncrypted = false }: { readonly mayBeEncrypted?: boolean } = {},
): Promise<Chain> {
  const files = [image];
  const end = (problem?: ImageProblem): Chain => ({ files, problem });
  const broken = (text: string): Chain => end({ reason: 'IMAGE_INVALID', text });
  for (let current = image; files.length <= MAX_LINKS; ) {
    const start = await readStart(current);
    if (!isQcow2(start)) return end();
    const header = readQcow2Header(start);
    if (header === undefined) {
      return broken(`${current} has a broken qcow2 header; restore it from a copy`);
    }
    const isKeyKnown = mayBeEncrypted && current === image;
    const own = problemOf(current, isKeyKnown ? { ...header, encrypted: false } : header);
    if (own !== undefined) return broken(own);
    if (header.backingFile === undefined) return end();
    const lead = await followLink(current, header.backingFile);
    if (lead === undefined) {
      return broken(
        `${current} names its backing file as ${header.backingFile}, which is refused: it has to be the path of a file; set that with: qemu-img rebase -u -b PATH -F FORMAT ${current}`,
      );
    }
    const next = lead.at;
    const refused = await judge(next);
    // Before anything is said of whether it is there.
    if (refused !== undefined) {
      return end({ ...refused, text: `of its backing file ${next}: ${refused.text}` });
    }
    if (!lead.exists || !(await stat(next)).isFile()) {
      return broken(
        `its backing file ${next} does not exist or is no plain file; put it there, or rebase the image with: qemu-img rebase -u -b PATH -F FORMAT ${current}`,
      );
    }
    if (header.backingFormat !== 'qcow2' && header.backingFormat !== 'raw') {
      return broken(
        `${current} does not say whether its backing file is raw or qcow2; set it with: qemu-img rebase -u -F FORMAT`,
      );
    }
    files.push(next);
    // What is declared raw is opened raw, so whatever its content says leads nowhere.
    if (header.backingFormat === 'raw') return end();
    current = next;
  }
  return broken(`it has more than ${MAX_LINKS} backing files; flatten it with: qemu-img convert`);
}

function problemOf(file: string, header: Qcow2Header): string | undefined {
  if (header.corrupt) {
    return `${file} is marked corrupt; repair it with: qemu-img check -r all ${file}`;
  }
  if (header.encrypted) return `${file} is encrypted, which is not supported; decrypt it`;
  if (header.hasDataFile) {
    return `${file} keeps its data in another file, which is refused; convert it with: qemu-img convert -O qcow2`;
  }
  return undefined;
}

/** Where a backing file's name leads to; undefined for a name that is no path. */
async function followLink(image: string, name: string): Promise<Lead | undefined> {
  // `json:{…}`, `nbd://…`, `file:…`: QEMU takes what stands before a colon in the first part as a protocol.
  if (/^[^/]*:/.test(name) || name.includes('\0')) return undefined;
  return await whereItLeads(path.isAbsolute(name) ? name : `${path.dirname(image)}/${name}`);
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
