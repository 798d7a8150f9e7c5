import { type Authorization, authorizationLines, configLine } from './authorization.ts';
import { type ChildEnd, ChildProgram, untilEnd } from './child-program.ts';
import { fetchFailed } from './errors.ts';
import { HeadReader, type ResponseHead } from './response-head.ts';

/** It needs a tenth of this. */
const MAX_MEMORY_BYTES = 2 ** 30;
/** Whatever sends less than this is taken for stalled. */
const STALLED_BYTES_PER_SECOND = 1024;

export interface CurlSettings {
  readonly connectTimeoutMs: number;
  readonly stallTimeoutMs: number;
}

export interface CurlRequest {
  readonly url: URL;
  /** That it may connect to, instead of asking DNS once more. */
  readonly addresses: readonly string[];
  readonly headers: readonly string[];
  readonly authorization?: Authorization | undefined;
  /** It has failed that is not whole by then; undefined: as long as something comes. */
  readonly wholeTimeoutMs?: number | undefined;
  /** Where the content goes to; undefined: to `onContent`. */
  readonly output: CurlOutput | undefined;
  readonly settings: CurlSettings;
  /** Called once; it is ended at once if that says `stop`, or throws. */
  readonly onHead: (head: ResponseHead) => Promise<'go-on' | 'stop'> | 'go-on' | 'stop';
  readonly onContent?: (chunk: Buffer) => 'go-on' | 'stop';
}

interface CurlOutput {
  readonly path: string;
  /** How many bytes of the content are there already. */
  readonly offset: number;
  readonly maxBytes: number;
  /** A descriptor whose lock lasts as long as it writes. */
  readonly lock: number;
}

export interface CurlEnd extends ChildEnd {
  readonly head: ResponseHead | undefined;
  /** By what `onHead` or `onContent` said. */
  readonly wasStopped: boolean;
}

/** Asks a server once. Throws what `onHead` has thrown; how curl has ended is for the caller to judge. */
export async function runCurl(request: CurlRequest, signal: AbortSignal): Promise<CurlEnd> {
  signal.throwIfAborted();
  const reader = new HeadReader();
  let wasStopped = false;
  let judged: Promise<void> | undefined;
  const stopIf = (word: 'go-on' | 'stop'): void => {
    if (word === 'go-on') return;
    wasStopped = true;
    curl.kill();
  };
  const judge = async (head: ResponseHead): Promise<void> => {
    try {
      stopIf(await request.onHead(head));
    } catch (error) {
      curl.kill();
      throw error;
    }
  };
  const onOutput = (chunk: Buffer): void => {
    if (wasStopped) return;
    try {
      const content = reader.add(chunk);
      if (judged === undefined && reader.head !== undefined) {
        judged = judge(reader.head);
        // It is waited for once curl has ended.
        judged.catch(() => undefined);
      }
      if (content.length > 0) stopIf(request.onContent?.(content) ?? 'go-on');
    } catch (error) {
      judged ??= Promise.reject(notUnderstood(request.url, error));
      judged.catch(() => undefined);
      curl.kill();
    }
  };
  const { output } = request;
  await using curl = new ChildProgram(wordsOf(request), {
    // Not among its arguments, which everybody on this node can read.
    input: [configLine('url', request.url.href), ...authorizationLines(request.authorization)].join(
      '',
    ),
    onOutput,
    ...(output !== undefined && { descriptor: output.lock }),
  });
  const end = await untilEnd(curl, signal);
  await judged;
  signal.throwIfAborted();
  return { ...end, head: reader.head, wasStopped };
}

function notUnderstood(url: URL, cause: unknown): Error {
  return fetchFailed(url, 'the server says too much before the content; look at it with: curl -v', {
    cause,
  });
}

function wordsOf(request: CurlRequest): readonly string[] {
  const { url, addresses, headers, output, settings, wholeTimeoutMs } = request;
  const isFile = url.protocol === 'file:';
  const limits = ['--core=0', `--as=${MAX_MEMORY_BYTES}`];
  if (output !== undefined) limits.push(`--fsize=${output.maxBytes}`);
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return [
    'prlimit',
    ...limits,
    '--',
    'curl',
    '--disable',
    '--globoff',
    '--silent',
    '--show-error',
    '--fail',
    // Redirections are followed by the caller, who looks where they lead. That curl may follow none has it leave out their bodies.
    '--location',
    '--max-redirs',
    '0',
    '--proto',
    isFile ? '=file' : '=http,https',
    '--proto-redir',
    '=http,https',
    '--noproxy',
    '*',
    // Whatever host curl sees in the URL, and whatever DNS says by now.
    ...(isFile ? [] : ['--resolve', `*:${port}:${addresses.map(bracketed).join(',')}`]),
    '--connect-timeout',
    String(settings.connectTimeoutMs / 1000),
    '--speed-limit',
    String(STALLED_BYTES_PER_SECOND),
    '--speed-time',
    String(Math.ceil(settings.stallTimeoutMs / 1000)),
    ...(wholeTimeoutMs === undefined ? [] : ['--max-time', String(wholeTimeoutMs / 1000)]),
    '--user-agent',
    'novacron-agent',
    '--header',
    'Accept-Encoding: identity',
    ...headers.flatMap((header) => ['--header', header]),
    // What has come is in the file, also when it is killed.
    '--no-buffer',
    '--dump-header',
    '-',
    ...outputWords(output),
    '--config',
    '-',
  ];
}

function outputWords(output: CurlOutput | undefined): readonly string[] {
  if (output === undefined) return ['--output', '-'];
  const { path, offset, maxBytes } = output;
  const words = ['--output', path, '--max-filesize', String(maxBytes)];
  return offset > 0 ? [...words, '--continue-at', String(offset)] : words;
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
