import { AgentError, type AgentErrorOptions } from '../../core/errors.ts';
import type { Place } from './place.ts';
import { printable, type ResponseHead } from './response-head.ts';
import { shownUrl } from './shown-url.ts';

const MAX_COMPLAINT = 200;

interface Failure {
  readonly text: string;
  readonly isRetryable: boolean;
}

const NO_TLS = 35;
const PLAIN_REGISTRY =
  'no TLS connection could be made; look at the registry, or, if it has none, list it in images.insecureRegistries of this node';
const GOES_BETTER = 'it may go better later';

/** What curl's exit codes mean (man curl, EXIT CODES). */
const CURL_FAILURES: Readonly<Record<number, Failure>> = {
  1: passing(false, 'curl does not know this protocol; use another URL'),
  3: passing(false, 'curl does not understand this URL; write it otherwise'),
  6: passing(true, 'its address was not found; look at the name and at the DNS of this node'),
  7: passing(
    true,
    'no connection could be made; look whether the server runs and this node reaches it',
  ),
  8: passing(true, 'the server gave an answer that is no HTTP'),
  16: passing(true, `the connection broke off (HTTP/2); ${GOES_BETTER}`),
  18: passing(true, `the server ended the connection before all was sent; ${GOES_BETTER}`),
  27: passing(true, `curl had too little memory; ${GOES_BETTER}`),
  28: passing(true, 'the server sent nothing for too long; look at the server, or try later'),
  35: passing(true, 'no TLS connection could be made; look at the server'),
  52: passing(true, `the server ended the connection without an answer; ${GOES_BETTER}`),
  55: passing(true, `the connection broke off; ${GOES_BETTER}`),
  56: passing(true, `the connection broke off; ${GOES_BETTER}`),
  60: passing(
    false,
    "the server's certificate is not trusted; add its authority to those of this node",
  ),
  77: passing(false, 'this node has no certificates of authorities; install ca-certificates'),
  92: passing(true, `the connection broke off (HTTP/2); ${GOES_BETTER}`),
};

function passing(isRetryable: boolean, text: string): Failure {
  return { text, isRetryable };
}

/** May go better with the next try, if `metadata.retryable` says so. */
export function isRetryable(error: unknown): error is AgentError {
  return error instanceof AgentError && error.metadata['retryable'] === 'true';
}

export function fetchFailed(
  url: URL,
  why: string,
  { isRetryable = false, ...options }: AgentErrorOptions & { readonly isRetryable?: boolean } = {},
): AgentError {
  return new AgentError('IMAGE_FETCH_FAILED', `Cannot fetch ${shownUrl(url)}: ${why}`, {
    ...options,
    ...(isRetryable && { metadata: { retryable: 'true' } }),
  });
}

export function notAllowed(url: URL, why: string): AgentError {
  return new AgentError('IMAGE_NOT_ALLOWED', `Cannot fetch ${shownUrl(url)}: ${why}`);
}

export function tooLarge(url: URL, maxBytes: number, totalBytes?: number): AgentError {
  const size = totalBytes === undefined ? '' : `has ${totalBytes} bytes, and so `;
  return new AgentError(
    'IMAGE_INVALID',
    `Cannot fetch ${shownUrl(url)}: it ${size}is larger than the ${maxBytes} bytes that it may have; use a smaller image, or raise the limit`,
  );
}

export function storageFull(url: URL, file: string, missing?: string): AgentError {
  const why = missing === undefined ? 'the disk is full' : `${missing} are missing on the disk`;
  return new AgentError(
    'STORAGE_FULL',
    `Cannot fetch ${shownUrl(url)}: ${why} that ${file} is on; make room there`,
  );
}

export function digestMismatch(
  url: URL,
  asked: string,
  found: string,
  mayBeCut: boolean,
): AgentError {
  const cut = mayBeCut
    ? ', where the server does not say how long it is and may have cut it off'
    : '';
  return new AgentError(
    'IMAGE_DIGEST_MISMATCH',
    `Cannot use ${shownUrl(url)}: its digest is sha256:${found}, and not sha256:${asked} as was asked for${cut}; look which is right, and correct the digest or the URL`,
    {
      metadata: {
        askedDigest: `sha256:${asked}`,
        foundDigest: `sha256:${found}`,
        ...(mayBeCut && { retryable: 'true' }),
      },
    },
  );
}

/** Of a host whose address is not known; it is worth another try where DNS itself has not answered. */
export function notResolved(url: URL, host: string, cause: unknown): AgentError {
  const why = `the address of ${host} was not found; look at the name and at the DNS of this node`;
  const isRetryable = (cause as NodeJS.ErrnoException).code === 'EAI_AGAIN';
  return fetchFailed(url, why, { cause, isRetryable });
}

/** By what a server says instead of the content. Of one that was redirected to: the next time it may be another. */
export function refusedByServer(
  { url, at }: Place,
  { hop, isAuthorized }: { readonly hop: URL; readonly isAuthorized: boolean },
  { status, words }: ResponseHead,
): AgentError {
  const passes = status >= 500 || [408, 425, 429].includes(status);
  const what = words === '' ? status : `${status} ${words}`;
  const advice = passes ? GOES_BETTER : adviceFor(url, status, isAuthorized);
  const other = hop === at ? shownUrl(hop) : `${shownUrl(hop)}, to which it redirects,`;
  const who = hop === url ? 'the server' : other;
  return fetchFailed(url, `${who} answered ${what}; ${advice}`, {
    isRetryable: passes || hop !== at,
  });
}

function adviceFor(url: URL, status: number, isAuthorized: boolean): string {
  if (status === 401 || status === 403) {
    if (isAuthorized) return 'look whether the secret that auth names is right, and may read it';
    return url.protocol === 's3:' || url.protocol === 'oci:'
      ? 'name a secret in auth that may read it'
      : 'look whether the URL has expired, and may be read without signing in';
  }
  if (status === 404 || status === 410) {
    return url.protocol === 's3:'
      ? 'look whether bucket and key are right'
      : 'look whether the URL is right';
  }
  // A region's own address.
  if (url.protocol === 's3:' && [301, 307, 400].includes(status)) {
    return 'look whether images.s3.region and images.s3.endpoint of this node are those of the bucket';
  }
  return 'look at the URL with: curl -v';
}

/** By how curl has ended: its exit code, or the signal, and what it has said. */
export function failedByCurl(url: URL, code: number | null, complaint: string): AgentError {
  if (code === 126 || code === 127) {
    return new AgentError(
      'FEATURE_NOT_SUPPORTED',
      `Cannot fetch ${shownUrl(url)}: curl cannot be run; install curl and util-linux on the node`,
    );
  }
  const known = code === null ? undefined : CURL_FAILURES[code];
  const said = printable(complaint.replaceAll(url.href, shownUrl(url)), MAX_COMPLAINT);
  const how = code === null ? 'curl was killed' : `curl failed (${code})`;
  const isPlain = url.protocol === 'oci:' && code === NO_TLS;
  const text = isPlain ? PLAIN_REGISTRY : (known?.text ?? `${how}; look at the URL with: curl -v`);
  return fetchFailed(url, said === '' ? text : `${text} (${said})`, {
    isRetryable: known?.isRetryable ?? code === null,
  });
}
