import type { FetchedContent, FetchProgress, FetchRequest } from '../image-fetcher.ts';
import type { AllowedHosts } from './allowed-hosts.ts';
import { ifChanged, ifRange, namesBytes, versionOf } from './content-version.ts';
import type { CurlSettings } from './curl.ts';
import { DigestProgram, type FileDigest } from './digest-program.ts';
import {
  digestMismatch,
  failedByCurl,
  fetchFailed,
  refusedByServer,
  storageFull,
  tooLarge,
} from './errors.ts';
import { versionOfFile } from './local-file.ts';
import type { PartFile, PartStart } from './part-file.ts';
import type { Place } from './place.ts';
import { type Answer, ask } from './redirections.ts';
import { type ResponseHead, rangeOf, tellsItsEnd, totalBytesOf } from './response-head.ts';
import { withRetries } from './retries.ts';

/** A transfer that comes so much further before it breaks off has as many tries as at the start. */
const PROGRESS_BYTES = 64 * 2 ** 20;
const WRITE_FAILED = 23;
const NO_RANGES = 33;
const TOO_LARGE = 63;

export interface TransferOptions extends Place {
  readonly request: FetchRequest;
  readonly part: PartFile;
  readonly hosts: AllowedHosts;
  readonly settings: CurlSettings;
  readonly retryDelaysMs: readonly number[];
  readonly onProgress: (progress: FetchProgress) => void;
}

/** Gets the content of a URL into its part file, in as many tries as it takes, and checks that it is whole. */
export class Transfer implements AsyncDisposable {
  readonly #options: TransferOptions;
  readonly #part: PartFile;
  /** Goes on over tries, as long as the file grows. */
  #digest: DigestProgram | undefined;
  #totalBytes: number | undefined;
  #version: string | undefined;
  #tellsItsEnd = false;
  #mayGoOn = true;
  #hasGoneOn = false;
  #mostBytes = 0;

  constructor(options: TransferOptions) {
    this.#options = options;
    this.#part = options.part;
  }

  async run(signal: AbortSignal): Promise<FetchedContent> {
    const { retryDelaysMs: delaysMs } = this.#options;
    const hasProgressed = (): Promise<boolean> => this.#hasProgressed();
    return await withRetries({ delaysMs, hasProgressed }, () => this.#try(signal), signal);
  }

  async #try(signal: AbortSignal): Promise<FetchedContent> {
    const result = (await this.#tryOnce(signal)) ?? (await this.#tryOnce(signal));
    if (result !== undefined) return result;
    throw fetchFailed(this.#options.url, 'it could not be begun again');
  }

  /** Undefined where it has to begin again from nothing. */
  async #tryOnce(signal: AbortSignal): Promise<FetchedContent | undefined> {
    const { url, request } = this.#options;
    const fileVersion = url.protocol === 'file:' ? await versionOfFile(url, signal) : undefined;
    if (fileVersion !== undefined && fileVersion === request.knownVersion) {
      return { isUnchanged: true };
    }
    const start = await this.#prepare();
    const verdict = await this.#get(start, signal);
    if (verdict === 'unchanged') return { isUnchanged: true };
    if (verdict === 'begin-again') return this.#beginAgain();
    const found = await this.#finish(signal);
    if (fileVersion !== undefined && (await versionOfFile(url, signal)) !== fileVersion) {
      throw fetchFailed(url, 'it was changed while it was copied', { isRetryable: true });
    }
    return this.#judge(found, fileVersion ?? this.#version);
  }

  /** Where to go on from; undefined: from nothing. Has the digest follow from there. */
  async #prepare(): Promise<PartStart | undefined> {
    const hasDigest = this.#options.request.digest !== undefined;
    const before = await this.#part.bytes();
    const start = this.#mayGoOn ? await this.#part.findStart(hasDigest) : undefined;
    if (start === undefined) await this.#part.begin();
    else await this.#part.goOn();
    this.#hasGoneOn = start !== undefined;
    this.#totalBytes = start?.totalBytes;
    this.#version = start?.version;
    // What it has read must not go away under it.
    if ((start?.bytes ?? 0) < before || this.#digest?.broken.aborted === true) {
      await this.#endDigest();
    }
    this.#digest ??= new DigestProgram(this.#part.path, (bytes) => this.#report(bytes));
    return start;
  }

  async #get(
    start: PartStart | undefined,
    signal: AbortSignal,
  ): Promise<'whole' | 'unchanged' | 'begin-again'> {
    const { url, at, authorize, request, hosts, settings } = this.#options;
    const { path, descriptor: lock } = this.#part;
    const { maxBytes } = request;
    const known = request.knownVersion === undefined ? undefined : ifChanged(request.knownVersion);
    let isOther = false;
    const answer = await ask(
      {
        url,
        at,
        authorize,
        hosts,
        settings,
        isChecked: request.digest !== undefined,
        headers: [
          ...(known === undefined ? [] : [known]),
          ...(start === undefined ? [] : [ifRange(start.version)]),
        ],
        output: { path, offset: start?.bytes ?? 0, maxBytes, lock },
        onHead: async (head) => {
          isOther = start !== undefined && !goesOnFrom(start, head);
          if (head.status !== (start === undefined ? 200 : 206) || isOther) return 'stop';
          await this.#accept(head, start);
          return 'go-on';
        },
      },
      this.#digest === undefined ? signal : AbortSignal.any([signal, this.#digest.broken]),
    );
    const { head } = answer;
    if (head?.status === 304 && known !== undefined) return 'unchanged';
    const isRefused = answer.code === NO_RANGES || head?.status === 416 || head?.status === 200;
    if (start !== undefined && (isRefused || (head?.status === 206 && isOther))) {
      return 'begin-again';
    }
    if (answer.code === WRITE_FAILED) throw await this.#writeFailure();
    const failure = this.#failureOf(answer, start);
    if (failure !== undefined) throw failure;
    return 'whole';
  }

  /** What a server is about to send is looked at before it has sent much of it. */
  async #accept(head: ResponseHead, start: PartStart | undefined): Promise<void> {
    const { url, request } = this.#options;
    const isFile = url.protocol === 'file:';
    const totalBytes = totalBytesOf(head);
    this.#tellsItsEnd = tellsItsEnd(head) || totalBytes !== undefined;
    if (!this.#tellsItsEnd && request.digest === undefined) {
      const why =
        'the server does not say how long it is, so that nobody would notice if a part of it were missing; give its digest, or use another server';
      throw fetchFailed(url, why);
    }
    if (totalBytes !== undefined && totalBytes > request.maxBytes) {
      throw tooLarge(url, request.maxBytes, totalBytes);
    }
    const missing = (totalBytes ?? 0) - (start?.bytes ?? 0) - (await this.#part.freeBytes());
    if (missing > 0) throw storageFull(url, this.#part.path, `${missing} bytes`);
    this.#totalBytes = totalBytes;
    if (start === undefined) this.#version = isFile ? undefined : versionOf(head);
    const goesOn = start !== undefined || (!isFile && namesBytes(head));
    await this.#part.note(goesOn ? this.#version : undefined, totalBytes);
    this.#report(start?.bytes ?? 0);
  }

  #failureOf(answer: Answer, start: PartStart | undefined): Error | undefined {
    const { url, request } = this.#options;
    const { code, signal, head, complaint } = answer;
    if (signal === 'SIGXFSZ' || code === TOO_LARGE) return tooLarge(url, request.maxBytes);
    if (head === undefined) return failedByCurl(url, code, complaint);
    const awaited = start === undefined ? 200 : 206;
    if (head.status !== awaited) return refusedByServer(this.#options, answer, head);
    return code === 0 ? undefined : failedByCurl(url, code, complaint);
  }

  async #writeFailure(): Promise<Error> {
    const { url } = this.#options;
    // It would read what is written to find out.
    await this.#endDigest();
    const problem = await this.#part.findWriteProblem();
    if (problem?.code === 'ENOSPC' || problem?.code === 'EDQUOT') {
      return storageFull(url, this.#part.path);
    }
    const why = problem === undefined ? '' : `: ${problem.message}`;
    return fetchFailed(url, `${this.#part.path} could not be written${why}`, {
      isRetryable: problem === undefined,
    });
  }

  async #finish(signal: AbortSignal): Promise<FileDigest> {
    const found = await this.#readRest(signal);
    const awaited = this.#totalBytes ?? found.bytes;
    if (found.bytes === awaited && found.bytes === (await this.#part.bytes())) return found;
    this.#mayGoOn = false;
    const why = `${found.bytes} bytes came, and not ${awaited}; it may go better later`;
    throw fetchFailed(this.#options.url, why, { isRetryable: true });
  }

  async #readRest(signal: AbortSignal): Promise<FileDigest> {
    if (this.#digest === undefined) throw new Error('Nothing was read');
    try {
      return await this.#digest.finish(signal);
    } finally {
      await this.#endDigest();
    }
  }

  #judge({ bytes, digest }: FileDigest, version: string | undefined): FetchedContent | undefined {
    const { url, request } = this.#options;
    if (request.digest === undefined || request.digest === digest) {
      return { isUnchanged: false, bytes, digest, version };
    }
    // What was there before may be to blame.
    if (this.#hasGoneOn) return this.#beginAgain();
    this.#mayGoOn = false;
    throw digestMismatch(url, request.digest, digest, !this.#tellsItsEnd);
  }

  #beginAgain(): undefined {
    this.#mayGoOn = false;
    return undefined;
  }

  async #endDigest(): Promise<void> {
    await this.#digest?.[Symbol.asyncDispose]();
    this.#digest = undefined;
  }

  async #hasProgressed(): Promise<boolean> {
    const bytes = await this.#part.bytes();
    if (bytes < this.#mostBytes + PROGRESS_BYTES) return false;
    this.#mostBytes = bytes;
    return true;
  }

  #report(bytes: number): void {
    this.#options.onProgress({ bytes, totalBytes: this.#totalBytes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endDigest();
  }
}

/** Whether a server sends the rest of the same content. One that ignores If-Range may send that of another. */
function goesOnFrom(start: PartStart, head: ResponseHead): boolean {
  const range = rangeOf(head);
  const totalBytes = totalBytesOf(head);
  return (
    range?.first === start.bytes &&
    (start.totalBytes === undefined || start.totalBytes === totalBytes) &&
    versionOf(head) === start.version
  );
}
