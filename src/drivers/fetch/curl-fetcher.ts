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
import { headerOf, hidden } from './authorization.ts';
import type { CurlSettings } from './curl.ts';
import { download, keepPart } from './download.ts';
import { fetchFailed, notAllowed, storageFull } from './errors.ts';
import { fetchLayer } from './oci/fetch-layer.ts';
import { type OciImage, readLayerStart, resolveImage } from './oci/oci-image.ts';
import { PartFile } from './part-file.ts';
import { peekAt } from './peek.ts';
import type { Place } from './place.ts';
import { withoutUser } from './redirections.ts';
import { withRetries } from './retries.ts';
import { placeInS3, type S3Settings } from './s3-place.ts';

const CONNECT_TIMEOUT_MS = 15_000;
const STALL_TIMEOUT_MS = 60_000;
/** Servers that are started again are back by then. */
const RETRY_DELAYS_MS = [500, 2_000, 5_000, 15_000, 30_000];
const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

export interface CurlFetcherOptions {
  /** That no image may come from, such as `169.254.0.0/16`, whatever name leads there. */
  readonly forbiddenNetworks: readonly string[];
  /** HOST or HOST:PORT of registries that are asked without TLS; none unless given. */
  readonly insecureRegistries?: readonly string[];
  readonly s3?: S3Settings;
  readonly connectTimeoutMs?: number;
  /** After so long without anything of note a server has failed; in whole seconds. */
  readonly stallTimeoutMs?: number;
  readonly retryDelaysMs?: readonly number[];
}

/** Where a content is, and, of an image in a registry, what that has said of it. */
interface Found {
  readonly place: Place;
  readonly image: OciImage | undefined;
}

/** By curl, which writes into the file itself, a process for each try. */
export class CurlFetcher implements ImageFetcher {
  readonly #hosts: AllowedHosts;
  readonly #settings: CurlSettings;
  readonly #insecureRegistries: readonly string[];
  readonly #s3: S3Settings;
  readonly #retryDelaysMs: readonly number[];

  constructor(options: CurlFetcherOptions) {
    const { forbiddenNetworks, retryDelaysMs = RETRY_DELAYS_MS } = options;
    const { connectTimeoutMs = CONNECT_TIMEOUT_MS, stallTimeoutMs = STALL_TIMEOUT_MS } = options;
    this.#hosts = new AllowedHosts(forbiddenNetworks);
    this.#settings = { connectTimeoutMs, stallTimeoutMs };
    this.#insecureRegistries = options.insecureRegistries ?? [];
    this.#s3 = options.s3 ?? { region: 'us-east-1' };
    this.#retryDelaysMs = retryDelaysMs;
  }

  async peek(location: ImageLocation, signal: AbortSignal): Promise<PeekedContent> {
    return await hiding(location, async () => {
      const url = parse(location);
      // Whoever looks before anything is made waits for it.
      const { place, image } = await this.#find(url, location, 1, signal);
      const where = { ...place, hosts: this.#hosts, settings: this.#settings };
      const retries = { delaysMs: this.#retryDelaysMs.slice(0, 1) };
      const peeked = await withRetries(retries, () => peekAt(where, signal), signal);
      if (image === undefined) return peeked;
      const { version, layer } = image;
      const { packed } = await readLayerStart(url, layer, peeked.start);
      if (packed === undefined) return { ...peeked, totalBytes: layer.bytes, version };
      return { start: packed.disk.start, totalBytes: packed.disk.bytes, version };
    });
  }

  async fetch(
    request: FetchRequest,
    onProgress: (progress: FetchProgress) => void,
    signal: AbortSignal,
  ): Promise<FetchedContent> {
    return await hiding(request, async () => {
      const url = parse(request);
      try {
        const retryDelaysMs = this.#retryDelaysMs;
        const { place, image } = await this.#find(url, request, retryDelaysMs.length, signal);
        const how = { hosts: this.#hosts, settings: this.#settings, retryDelaysMs, onProgress };
        if (image === undefined) {
          await using part = await PartFile.claim(place.at, request.path, signal);
          return await download({ ...how, ...place, request, part }, keepPart, signal);
        }
        if (request.knownVersion === image.version) return { isUnchanged: true };
        return await fetchLayer(image, { ...how, request }, signal);
      } catch (error) {
        const { code, syscall, message } = error as NodeJS.ErrnoException;
        if (FULL.has(code)) throw storageFull(url, request.path);
        if (syscall === undefined || signal.aborted) throw error;
        throw fetchFailed(url, `${request.path} cannot be written: ${message}`, { cause: error });
      }
    });
  }

  async #find(
    url: URL,
    { url: source, credentials }: ImageLocation,
    tries: number,
    signal: AbortSignal,
  ): Promise<Found> {
    if (url.protocol === 's3:') {
      return { place: placeInS3(url, source, credentials, this.#s3), image: undefined };
    }
    if (url.protocol !== 'oci:') {
      const authorize = () => Promise.resolve(credentials && headerOf(credentials));
      return { place: { url, at: url, authorize }, image: undefined };
    }
    const registry = {
      hosts: this.#hosts,
      settings: this.#settings,
      insecureRegistries: this.#insecureRegistries,
    };
    const retries = { delaysMs: this.#retryDelaysMs.slice(0, tries) };
    const ask = () => resolveImage(url, credentials, registry, signal);
    const image = await withRetries(retries, ask, signal);
    return { place: image.place, image };
  }
}

const PROTOCOLS = ['http:', 'https:', 'file:', 's3:', 'oci:'];

function parse({ url: text }: ImageLocation): URL {
  if (!URL.canParse(text)) {
    throw new AgentError(
      'IMAGE_NOT_ALLOWED',
      'Cannot fetch what is no URL; write http(s)://HOST/PATH',
    );
  }
  const url = withoutUser(new URL(text));
  if (PROTOCOLS.includes(url.protocol)) return url;
  throw notAllowed(url, 'only http:, https:, oci:, s3: and file: are fetched; use another URL');
}

/** A server that is shown a secret may say it again. */
async function hiding<T>({ credentials }: ImageLocation, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    const message = hidden(error.message, credentials);
    if (message === error.message) throw error;
    const { reason, metadata } = error;
    throw new AgentError(reason, message, { metadata });
  }
}
