import { printable } from './response-head.ts';

const MOST = 300;

/** For messages: without what is secret in the URL of a signed request, and without a user. */
export function shownUrl(url: URL): string {
  const start = url.protocol === 'file:' ? 'file://' : `${url.protocol}//${url.host}`;
  return printable(`${start}${url.pathname}`, MOST) + (url.search === '' ? '' : '?…');
}
