import assert from 'node:assert/strict';
import { test } from 'node:test';
import { redirectionProblem, withoutUser } from '../../../../src/drivers/fetch/redirections.ts';
import { shownUrl } from '../../../../src/drivers/fetch/shown-url.ts';

const HTTP = new URL('http://a/x?y=1');
const HTTPS = new URL('https://a/x');

test('from https to http is followed only where the content is checked', () => {
  assert.match(
    redirectionProblem(HTTPS, HTTP, false) ?? '',
    /http:\/\/a\/x\?…, .*; give its digest/,
  );
  assert.equal(redirectionProblem(HTTPS, HTTP, true), undefined);
  assert.equal(redirectionProblem(HTTP, HTTPS, false), undefined);
  assert.equal(redirectionProblem(HTTP, HTTP, false), undefined);
});

test('a URL is shown without what is secret', () => {
  const url = new URL('https://me:secret@a:8443/x\u001b?signature=secret#secret');
  assert.equal(shownUrl(url), 'https://a:8443/x%1B?…');
  assert.equal(withoutUser(url).href, 'https://a:8443/x%1B?signature=secret');
  assert.ok(shownUrl(new URL(`http://a/${'x'.repeat(5000)}`)).length < 400);
});
