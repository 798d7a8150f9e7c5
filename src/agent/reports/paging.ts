import { createHash } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import type { Page, PageRequest, ReportOrigin } from './report.ts';

interface Token {
  /** Key of the last object of the page before. */
  readonly after: string;
  /** Tells whether the filter is still the same. */
  readonly filter: string;
}

/**
 * A page of objects that are sorted by their keys. The next one begins after the key of the last object, whatever has
 * changed in between: an object that comes before that key is not seen. Fails with INVALID_REQUEST for a token of
 * another filter, or of nobody.
 */
export function pageOf<T>(
  sorted: readonly T[],
  request: PageRequest,
  options: {
    readonly keyOf: (object: T) => string;
    /** Whether a key comes after another, in the order that the objects are sorted in. */
    readonly isAfter: (key: string, other: string) => boolean;
    readonly filter: unknown;
    readonly origin: ReportOrigin;
  },
): Page<T> {
  const { keyOf, isAfter, origin } = options;
  const last = lastKey(request.token, options.filter);
  const rest =
    last === undefined ? sorted : sorted.filter((object) => isAfter(keyOf(object), last));
  if (request.size === 0 || rest.length <= request.size) {
    return { items: rest, nextToken: '', origin };
  }
  const items = rest.slice(0, request.size);
  const end = items.at(-1);
  const nextToken = pageToken(end === undefined ? '' : keyOf(end), options.filter);
  return { items, nextToken, origin };
}

/** The token of the page that begins after a key, of a list with this filter. */
export function pageToken(after: string, filter: unknown): string {
  const token: Token = { after, filter: digest(filter) };
  return Buffer.from(JSON.stringify(token)).toString('base64url');
}

/** The key after which the page of a token begins; undefined for the first one. Fails as `pageOf` does. */
export function lastKey(text: string, filter: unknown): string | undefined {
  if (text === '') return undefined;
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Token;
    if (typeof token.after === 'string' && token.filter === digest(filter)) return token.after;
  } catch {
    // Not one of ours.
  }
  throw new AgentError(
    'INVALID_REQUEST',
    'Cannot go on with this page token: it belongs to another list, or to none; list anew without it',
    { violations: [{ field: 'pageToken', description: 'belongs to another list, or to none' }] },
  );
}

function digest(filter: unknown): string {
  return createHash('sha256').update(JSON.stringify(filter)).digest('hex');
}
