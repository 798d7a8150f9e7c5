import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../src/core/errors.ts';
import type {
  FetchedContent,
  FetchProgress,
  FetchRequest,
  ImageCredentials,
  ImageFetcher,
  ImageLocation,
  PeekedContent,
} from '../../src/drivers/image-fetcher.ts';

/** The beginning of a qcow2 of that size, with something that makes it another one. */
export function fakeQcow2(virtualBytes: number, word = ''): Buffer {
  const header = Buffer.alloc(512);
  header.write('QFI\u00fb', 'latin1');
  header.writeUInt32BE(3, 4);
  // Clusters of 64 KiB.
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(BigInt(virtualBytes), 24);
  header.writeUInt32BE(104, 100);
  header.write(word, 256);
  return header;
}

export interface FakePublished {
  readonly content: Buffer;
  readonly version?: string;
  /** For those alone who show this. */
  readonly credentials?: ImageCredentials;
}

/** Contents at addresses, in memory. */
export class FakeImageFetcher implements ImageFetcher {
  /** What was fetched, by the path of its file. */
  readonly files: Map<string, Buffer>;
  /** What is published, by its address. */
  readonly contents = new Map<string, FakePublished>();
  /** Addresses that were fetched whole, one for each time. */
  readonly fetched: string[] = [];
  /** While there is one, whoever fetches waits for it after the first half. */
  hold: Promise<void> | undefined;

  constructor(files = new Map<string, Buffer>()) {
    this.files = files;
  }

  async peek(location: ImageLocation, signal: AbortSignal): Promise<PeekedContent> {
    signal.throwIfAborted();
    const { content, version } = this.#find(location);
    return { start: content.subarray(0, 65_536), totalBytes: content.length, version };
  }

  async fetch(
    { path, digest: wanted, knownVersion, ...location }: FetchRequest,
    onProgress: (progress: FetchProgress) => void,
    signal: AbortSignal,
  ): Promise<FetchedContent> {
    signal.throwIfAborted();
    const { url } = location;
    const { content, version } = this.#find(location);
    if (knownVersion !== undefined && knownVersion === version) return { isUnchanged: true };
    onProgress({ bytes: Math.floor(content.length / 2), totalBytes: content.length });
    if (this.hold !== undefined) {
      this.files.set(`${path}.part`, content.subarray(0, Math.floor(content.length / 2)));
      await this.hold;
    }
    signal.throwIfAborted();
    this.files.delete(`${path}.part`);
    const digest = createHash('sha256').update(content).digest('hex');
    if (wanted !== undefined && wanted !== digest) {
      throw new AgentError(
        'IMAGE_DIGEST_MISMATCH',
        `Cannot use what is at ${url}: its digest is sha256:${digest}, and sha256:${wanted} is wanted`,
      );
    }
    this.files.set(path, content);
    this.fetched.push(url);
    return { isUnchanged: false, bytes: content.length, digest, version };
  }

  #find({ url, credentials }: ImageLocation): FakePublished {
    const found = this.contents.get(url);
    const asks = found?.credentials;
    const isShown = asks === undefined || isDeepStrictEqual(asks, credentials);
    if (found !== undefined && isShown) return found;
    throw new AgentError(
      'IMAGE_FETCH_FAILED',
      `Cannot fetch ${url}: the server answered ${found === undefined ? 404 : 401}; correct the address`,
      { metadata: { retryable: 'false' } },
    );
  }
}
