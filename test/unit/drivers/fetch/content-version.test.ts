import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ifChanged,
  ifRange,
  namesBytes,
  versionOf,
} from '../../../../src/drivers/fetch/content-version.ts';
import { parseHead } from '../../../../src/drivers/fetch/response-head.ts';

const MODIFIED = 'Tue, 01 Dec 2026 00:00:00 GMT';

function headOf(...lines: readonly string[]) {
  return parseHead(['HTTP/1.1 200 OK', ...lines].join('\r\n'));
}

function date(second: number): string {
  return `Date: Tue, 01 Dec 2026 00:00:0${second} GMT`;
}

test('content is named by its tag, by its date else, and by nothing that could not be sent back', () => {
  assert.equal(versionOf(headOf('ETag: "a"', `Last-Modified: ${MODIFIED}`)), 'etag:"a"');
  assert.equal(versionOf(headOf('ETag: W/"a"')), 'etag:W/"a"');
  assert.equal(versionOf(headOf(`Last-Modified: ${MODIFIED}`)), `modified:${MODIFIED}`);
  for (const line of [
    'ETag: a',
    'ETag: "a"b"',
    `ETag: "${'a'.repeat(2000)}"`,
    'Last-Modified: x',
  ]) {
    assert.equal(versionOf(headOf(line)), undefined, line);
  }
});

test('the server is asked by the kind of name that it has given', () => {
  assert.equal(ifChanged('etag:W/"a"'), 'If-None-Match: W/"a"');
  assert.equal(ifChanged(`modified:${MODIFIED}`), `If-Modified-Since: ${MODIFIED}`);
  assert.equal(ifChanged('file:1-2-3'), undefined);
  assert.equal(ifRange('etag:"a"'), 'If-Range: "a"');
});

test('a part is gone on from by a strong tag, or by a date that is over', () => {
  assert.ok(namesBytes(headOf('ETag: "a"')));
  assert.ok(!namesBytes(headOf('ETag: W/"a"', `Last-Modified: ${MODIFIED}`, date(5))));
  assert.ok(namesBytes(headOf(`Last-Modified: ${MODIFIED}`, date(1))));
  assert.ok(!namesBytes(headOf(`Last-Modified: ${MODIFIED}`, date(0))));
  assert.ok(!namesBytes(headOf(`Last-Modified: ${MODIFIED}`)));
  assert.ok(!namesBytes(headOf()));
});
