import { AgentError } from '../../core/errors.ts';
import type {
  FetchedContent,
  FetchProgress,
  FetchRequest,
  ImageFetcher,
  ImageLocation,
  PeekedContent,
} from '../image-fetcher.ts';
import { AllowedHosts } from './allowed-hosts.ts';
import type { CurlSettings } from './curl.ts';
import { fetchFailed, isRetryable, notAllowed, storageFull } from './errors.ts';
import { PartFile } from './part-file.ts';
import { peekAt } from './peek.ts';
import { withoutUser } from './redirections.ts';
import { withRetries } from './retries.ts';
import { Transfer, type TransferOptions } from './transfer.ts';

const CONNECT_TIMEOUT_MS = 15_000;
const STALL_TIMEOUT_MS = 60_000;
/** Servers that are started again are back by then. */
const RETRY_DELAYS_MS = [500, 2_000, 5_000, 15_000, 30_000];
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

export interface CurlFetcherOptions {
  /** That no image may come from, such as `169.254.0.0/16`, whatever name leads there. */
  readonly forbiddenNetworks: readonly string[];
  readonly connectTimeoutMs?: number;
  /** After so long without anything of note a server has failed; in whole seconds. */
  readonly stallTimeoutMs?: number;
  readonly retryDelaysMs?: readonly number[];
}

/** By curl, which writes into the file itself, a process for each try. */
export class CurlFetcher implements ImageFetcher {
  readonly #hosts: AllowedHosts;
  readonly #settings: CurlSettings;
  readonly #retryDelaysMs: readonly number[];

  constructor(options: CurlFetcherOptions) {
    const { forbiddenNetworks, retryDelaysMs = RETRY_DELAYS_MS } = options;
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS, stallTimeoutMs = STALL_TIMEOUT_MS } = options;
    this.#hosts = new AllowedHosts(forbiddenNetworks);
    this.#settings = { connectTimeoutMs, stallTimeoutMs };
    this.#retryDelaysMs = retryDelaysMs;
  }

  async peek(location: ImageLocation, signal: AbortSignal): Promise<PeekedContent> {
    const url = parse(location);
    const where = { url, hosts: this.#hosts, settings: this.#settings };
    // Whoever looks before anything is made waits for it.
    const retries = { delaysMs: this.#retryDelaysMs.slice(0, 1) };
    return await withRetries(retries, () => peekAt(where, signal), signal);
  }

  async fetch(
    request: FetchRequest,
    onProgress: (progress: FetchProgress) => void,
    signal: AbortSignal,
  ): Promise<FetchedContent> {
    const url = parse(request);
    try {
      await using part = await PartFile.claim(url, request.path, signal);
      return await this.#fetchInto(part, { url, request, onProgress }, signal);
    } catch (error) {
      const { code, syscall, message } = error as NodeJS.ErrnoException;
      if (FULL.has(code)) throw storageFull(url, request.path);
      if (syscall === undefined || signal.aborted) throw error;
      throw fetchFailed(url, `${request.path} cannot be written: ${message}`, { cause: error });
    }
  }

  async #fetchInto(
    part: PartFile,
    what: Pick<TransferOptions, 'url' | 'request' | 'onProgress'>,
    signal: AbortSignal,
  ): Promise<FetchedContent> {
    try {
      await using transfer = new Transfer({
        ...what,
        part,
        hosts: this.#hosts,
        settings: this.#settings,
        retryDelaysMs: this.#retryDelaysMs,
      });
      const content = await transfer.run(signal);
      if (content.isUnchanged) await part.remove();
      else await part.complete();
      return content;
    } catch (error) {
      const isOfUse = signal.aborted || isRetryable(error);
      const hasDigest = what.request.digest !== undefined;
      if (!isOfUse || (await part.findStart(hasDigest)) === undefined) await part.remove();
      throw error;
    }
  }
}

function parse({ url: text }: ImageLocation): URL {
  if (!URL.canParse(text)) {
    throw new AgentError(
      'IMAGE_NOT_ALLOWED',
      'Cannot fetch what is no URL; write http(s)://HOST/PATH',
    );
  }
  const url = withoutUser(new URL(text));
  if (['http:', 'https:', 'file:'].includes(url.protocol)) return url;
  throw notAllowed(url, 'only http:, https: and file: are fetched; use another URL');
}
