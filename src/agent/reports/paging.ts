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
  const filter = () => createHash('sha256').update(JSON.stringify(options.filter)).digest('hex');
  const token = request.token === '' ? undefined : readToken(request.token, filter());
  const rest =
    token === undefined ? sorted : sorted.filter((object) => isAfter(keyOf(object), token.after));
  if (request.size === 0 || rest.length <= request.size) {
    return { items: rest, nextToken: '', origin };
  }
  const items = rest.slice(0, request.size);
  const last = items.at(-1);
  const after = last === undefined ? '' : keyOf(last);
  const nextToken = Buffer.from(JSON.stringify({ after, filter: filter() })).toString('base64url');
  return { items, nextToken, origin };
}

function readToken(text: string, filter: string): Token {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as Token;
    if (typeof token.after === 'string' && token.filter === filter) return token;
  } catch {
    // Not one of ours.
  }
  throw new AgentError(
    'INVALID_REQUEST',
    'Cannot go on with this page token: it belongs to another list, or to none; list anew without it',
    { violations: [{ field: 'pageToken', description: 'belongs to another list, or to none' }] },
  );
}
