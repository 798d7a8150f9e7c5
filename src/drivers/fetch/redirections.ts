import type { AllowedHosts } from './allowed-hosts.ts';
import { type CurlEnd, type CurlRequest, runCurl } from './curl.ts';
import { fetchFailed, notAllowed, notResolved } from './errors.ts';
import type { Place } from './place.ts';
import type { ResponseHead } from './response-head.ts';
import { shownUrl } from './shown-url.ts';

const MOST = 5;
const STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export interface Question extends Place, Omit<CurlRequest, 'url' | 'addresses' | 'authorization'> {
  readonly hosts: AllowedHosts;
  /** Whether what comes is checked, so that it does not matter who could change it on the way. */
  readonly isChecked: boolean;
}

export interface Answer extends CurlEnd {
  /** Who has given it in the end. */
  readonly hop: URL;
  readonly isAuthorized: boolean;
}

/** Asks whoever a server sends on to, as long as that is allowed. `onHead` is called for the last head only. */
export async function ask(question: Question, signal: AbortSignal): Promise<Answer> {
  const { url, at } = question;
  let hop = at;
  // Whoever is elsewhere once may have been sent back by somebody else.
  let isAtHome = true;
  for (let redirections = 0; ; redirections += 1) {
    const addresses = await allowedAddresses(question, hop, signal);
    const authorization = isAtHome ? await question.authorize?.(signal) : undefined;
    let next: URL | undefined;
    const onHead = (head: ResponseHead): ReturnType<CurlRequest['onHead']> => {
      next = redirectionOf(url, hop, head);
      return next === undefined ? question.onHead(head) : 'stop';
    };
    const asked = { ...question, url: hop, addresses, authorization, onHead };
    const end = await runCurl(asked, signal);
    if (next === undefined) return { ...end, hop, isAuthorized: authorization !== undefined };
    if (redirections === MOST) {
      throw fetchFailed(url, `it redirects more than ${MOST} times; use the URL it leads to`);
    }
    const problem = redirectionProblem(hop, next, question.isChecked);
    if (problem !== undefined) throw notAllowed(url, problem);
    isAtHome &&= next.origin === at.origin;
    hop = next;
  }
}

/** Of a redirection, what speaks against following it. */
export function redirectionProblem(from: URL, to: URL, isChecked: boolean): string | undefined {
  if (to.protocol !== 'http:' && to.protocol !== 'https:') {
    return `it redirects to ${shownUrl(to)}, and only http: and https: are followed; use another URL`;
  }
  // Who asked for https has nothing else that keeps others from changing what the VM runs.
  if (from.protocol === 'https:' && to.protocol === 'http:' && !isChecked) {
    return `it redirects from https: to ${shownUrl(to)}, where it could be changed on the way; give its digest, or use another URL`;
  }
  return undefined;
}

function redirectionOf(url: URL, hop: URL, { status, headers }: ResponseHead): URL | undefined {
  const location = headers.get('location');
  if (hop.protocol === 'file:' || !STATUSES.has(status) || location === undefined) return undefined;
  if (!URL.canParse(location, hop.href)) {
    throw fetchFailed(url, 'it redirects to what is no URL; look at it with: curl -v');
  }
  return withoutUser(new URL(location, hop.href));
}

/** Nor what is for browsers only. */
export function withoutUser(url: URL): URL {
  url.username = '';
  url.password = '';
  url.hash = '';
  return url;
}

async function allowedAddresses(
  question: Question,
  hop: URL,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (hop.protocol === 'file:') return [];
  const { hosts, url, at } = question;
  const addresses = await resolve(hosts, url, hop, signal);
  const refused = addresses.find((address) => hosts.isForbidden(address));
  if (refused === undefined) return addresses;
  const other = hop === at ? shownUrl(hop) : `it redirects to ${shownUrl(hop)}, which`;
  throw notAllowed(
    url,
    `${hop === url ? 'it' : other} is at ${refused}, from where the settings of this node allow no images; use another URL`,
  );
}

async function resolve(
  hosts: AllowedHosts,
  url: URL,
  hop: URL,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return await hosts.addressesOf(hop.hostname, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw notResolved(url, hop.hostname, error);
  }
}
