import type { ResponseHead } from './response-head.ts';

/** Longer ones are of no use: they have to be sent back. */
const MAX_LENGTH = 1000;
/** A file that is changed twice within the second has the same date both times (RFC 9110, 8.8.2.2). */
const DATE_SETTLED_MS = 1000;

/**
 * What a server calls the content, with the kind of name it is: `etag:"abc"`, `etag:W/"abc"`, `modified:Tue, 01 Dec 2026 00:00:00 GMT`.
 * Undefined where it says nothing of use.
 */
export function versionOf({ headers }: ResponseHead): string | undefined {
  const etag = headers.get('etag') ?? '';
  // It goes into a header again: nothing but printable ASCII, and no quotes within.
  if (/^(W\/)?"[\x21\x23-\x7e]*"$/.test(etag) && etag.length <= MAX_LENGTH) return `etag:${etag}`;
  const modified = headers.get('last-modified') ?? '';
  return isDate(modified) ? `modified:${modified}` : undefined;
}

/** Whether all contents of this version have the same bytes, so that a part of it can be gone on from. */
export function namesBytes(head: ResponseHead): boolean {
  const version = versionOf(head);
  if (version === undefined) return false;
  if (version.startsWith('etag:')) return !version.startsWith('etag:W/');
  const { headers } = head;
  const date = Date.parse(headers.get('date') ?? '');
  return date - Date.parse(headers.get('last-modified') ?? '') >= DATE_SETTLED_MS;
}

/** Has the server send the rest only if the content is still of this version. */
export function ifRange(version: string): string {
  return `If-Range: ${valueOf(version)}`;
}

/** Has the server send the content only if it is not of this version; undefined for a version of no server. */
export function ifChanged(version: string): string | undefined {
  if (version.startsWith('etag:')) return `If-None-Match: ${valueOf(version)}`;
  return version.startsWith('modified:') ? `If-Modified-Since: ${valueOf(version)}` : undefined;
}

function valueOf(version: string): string {
  return version.slice(version.indexOf(':') + 1);
}

function isDate(text: string): boolean {
  return /^[A-Za-z0-9,: +-]{1,40}$/.test(text) && !Number.isNaN(Date.parse(text));
}
