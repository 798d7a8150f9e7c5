import { readFileSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
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

/**
 * What the last agent of this build knew of domains, by the digest of their XML: to describe a hundred domains is a quarter of what a
 * start takes. Nothing depends on it, and whatever is wrong with the file it is left alone.
 */
export class DescriptionFile {
  readonly #path: string;
  readonly #build: string;
  readonly #known: Map<string, DomainDescription>;

  private constructor(path: string, build: string, known: Map<string, DomainDescription>) {
    this.#path = path;
    this.#build = build;
    this.#known = known;
  }

  static open(path: string, build: string): DescriptionFile {
    return new DescriptionFile(path, build, new Map(read(path, build)));
  }

  /** Once for each: whoever has it keeps it. */
  take(digest: string): DomainDescription | undefined {
    const description = this.#known.get(digest);
    this.#known.delete(digest);
    return description;
  }

  /** For the next agent. Fails as writing a file does. */
  async write(descriptions: ReadonlyMap<string, DomainDescription>): Promise<void> {
    // Of domains that are gone.
    this.#known.clear();
    const content: Content = { build: this.#build, descriptions };
    const bytes = serialize(content);
    const checksum = Buffer.alloc(CHECKSUM_BYTES);
    checksum.writeUInt32LE(crc32(bytes));
    const unfinished = `${this.#path}.new`;
    try {
      await writeFile(unfinished, Buffer.concat([checksum, bytes]), { mode: 0o600 });
      await rename(unfinished, this.#path);
    } catch (error) {
      await rm(unfinished, { force: true });
      throw error;
    }
  }
}

function read(path: string, build: string): Content['descriptions'] {
  try {
    const file = readFileSync(path);
    const bytes = file.subarray(CHECKSUM_BYTES);
    if (file.readUInt32LE() !== crc32(bytes)) return new Map();
    const content = deserialize(bytes) as Content;
    return content.build === build ? content.descriptions : new Map();
  } catch {
    return new Map();
  }
}
