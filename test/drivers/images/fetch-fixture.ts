import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { appendFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CurlFetcher, type CurlFetcherOptions } from '../../../src/drivers/fetch/curl-fetcher.ts';
import type {
  FetchedContent,
  FetchProgress,
  FetchRequest,
} from '../../../src/drivers/image-fetcher.ts';
import type { Published } from '../../fixtures/images/misbehaving-server.ts';

const never = new AbortController().signal;
/** More than the 64 KiB that are looked at, and than the small disks and limits of the tests. */
const BYTES = 3 * 2 ** 20 + 17;

export interface Image extends Published {
  readonly digest: string;
}

export function imageOf(content: Buffer, headers: Image['headers']): Image {
  return { content, headers, digest: createHash('sha256').update(content).digest('hex') };
}

const CONTENTS = [randomBytes(BYTES), randomBytes(BYTES)];

/** Versions of the same length. */
export const VERSIONS = CONTENTS.map((content, index) =>
  imageOf(content, { etag: `"${index + 1}"` }),
);

export function versionAt(index: number): Image {
  const image = VERSIONS[index];
  assert.ok(image);
  return image;
}

export const V1 = versionAt(0);
export const V2 = versionAt(1);

export const QUICK: CurlFetcherOptions = {
  forbiddenNetworks: ['169.254.0.0/16', 'fe80::/10'],
  stallTimeoutMs: 1000,
  retryDelaysMs: [1, 1, 1],
};

/** A folder that images are fetched into. */
export class FetchFolder implements AsyncDisposable {
  readonly root: string;
  readonly progress: FetchProgress[] = [];

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<FetchFolder> {
    return new FetchFolder(await mkdtemp(path.join(tmpdir(), 'novacron-fetch-')));
  }

  get image(): string {
    return path.join(this.root, 'image');
  }

  async names(): Promise<readonly string[]> {
    return (await readdir(this.root)).toSorted();
  }

  request(url: string, changes: Partial<FetchRequest> = {}): FetchRequest {
    return { url, path: this.image, maxBytes: 2 ** 30, digest: undefined, ...changes };
  }

  async fetch(
    url: string,
    changes: Partial<FetchRequest> = {},
    { signal = never, ...options }: Partial<CurlFetcherOptions> & { signal?: AbortSignal } = {},
  ): Promise<FetchedContent> {
    const fetcher = new CurlFetcher({ ...QUICK, ...options });
    const note = (progress: FetchProgress): void => void this.progress.push(progress);
    return await fetcher.fetch(this.request(url, changes), note, signal);
  }

  /** It has all of this content, and nothing else is left. */
  async assertHas({ content }: Image): Promise<void> {
    assert.ok(content.equals(await readFile(this.image)), 'It is not this content');
    assert.deepEqual(await this.names(), ['image']);
  }

  async assertEmpty(): Promise<void> {
    assert.deepEqual(await this.names(), []);
  }

  /** Of the part, as it could be after whatever has happened. */
  async changeRecord(changes: Readonly<Record<string, unknown>>): Promise<void> {
    const file = `${this.image}.part.json`;
    const record = JSON.parse(await readFile(file, 'utf8'));
    await writeFile(file, JSON.stringify({ ...record, ...changes }));
  }

  async addToPart(bytes: Buffer): Promise<void> {
    await appendFile(`${this.image}.part`, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}
