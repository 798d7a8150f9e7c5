import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { DomainDescription } from './domain-description.ts';

interface Content {
  /** Whoever reads XML in another way has other descriptions. */
  readonly build: string;
  /** By the digest of the XML. */
  readonly descriptions: ReadonlyMap<string, DomainDescription>;
}

const CHECKSUM_BYTES = 4;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * What the last agent of this build knew of domains, by the digest of their XML: to describe a hundred domains is a quarter of what a
 * start takes. Nothing depends on it, and whatever is wrong with the file it is left alone, as is one that others can write.
 */
export class DescriptionFile {
  readonly #path: string;
  readonly #build: string;
  readonly #known: Map<string, DomainDescription>;

  constructor(file: string, build: string) {
    this.#path = file;
    this.#build = build;
    this.#known = read(file, build);
  }

  /** Once for each: whoever has it keeps it. */
  take(digest: string): DomainDescription | undefined {
    const description = this.#known.get(digest);
    this.#known.delete(digest);
    return description;
  }

  /** Once all domains were read: what is left is of others, which are gone. */
  forget(): void {
    this.#known.clear();
  }

  /** For the next agent. Fails as writing a file does. */
  async write(descriptions: ReadonlyMap<string, DomainDescription>): Promise<void> {
    const content: Content = { build: this.#build, descriptions };
    const bytes = serialize(content);
    const checksum = Buffer.alloc(CHECKSUM_BYTES);
    checksum.writeUInt32LE(crc32(bytes));
    const unfinished = `${this.#path}.new`;
    await mkdir(path.dirname(this.#path), { recursive: true, mode: 0o700 });
    try {
      await writeFile(unfinished, Buffer.concat([checksum, bytes]), { mode: 0o600 });
      await rename(unfinished, this.#path);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  }
}

function read(file: string, build: string): Map<string, DomainDescription> {
  try {
    const text = readOwn(file);
    const bytes = text.subarray(CHECKSUM_BYTES);
    if (text.readUInt32LE() !== crc32(bytes)) return new Map();
    const content = deserialize(bytes) as Content;
    return new Map(content.build === build ? content.descriptions : []);
  } catch {
    return new Map();
  }
}

/** Fails if anybody else may have written it. */
function readOwn(file: string): Buffer {
  const descriptor = openSync(
    file,
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  try {
    const found = fstatSync(descriptor);
    const isOwn = found.isFile() && found.uid === process.getuid?.();
    if (!isOwn || (found.mode & WRITABLE_BY_OTHERS) !== 0) throw new Error('It is not our own');
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
