import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  HeadReader,
  parseHead,
  rangeOf,
  tellsItsEnd,
  totalBytesOf,
} from '../../../../src/drivers/fetch/response-head.ts';

function headOf(...lines: readonly string[]) {
  return parseHead(lines.join('\r\n'));
}

test('a head is found however it is cut up, and what follows is the content', () => {
  const text =
    'HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nETag: "a"\r\n\r\nbody';
  for (const size of [1, 7, 1000]) {
    const reader = new HeadReader();
    let body = '';
    for (let at = 0; at < text.length; at += size) {
      body += reader.add(Buffer.from(text.slice(at, at + size))).toString();
    }
    assert.equal(body, 'body');
    assert.equal(reader.head?.status, 200);
    assert.equal(reader.head?.headers.get('etag'), '"a"');
  }
});

test('a head without an end is refused', () => {
  const reader = new HeadReader();
  assert.throws(() => reader.add(Buffer.alloc(300 * 1024, 'x')), RangeError);
});

test('what a server says is kept short and printable', () => {
  const head = headOf(`HTTP/1.1 403 No \x1b[31m${'x'.repeat(1000)}`, 'a:b', 'A: c', 'no header');
  assert.equal(head.words.length, 101);
  assert.match(head.words, /^No \?\[31mx+…$/);
  assert.deepEqual([...head.headers], [['a', 'b, c']]);
});

test('how much there is is known by a length alone, and by no other for certain', () => {
  const start = 'HTTP/1.1 200 OK';
  assert.equal(totalBytesOf(headOf(start, 'Content-Length: 5')), 5);
  for (const other of [
    'Content-Length: -5',
    'Content-Length: 5, 6',
    `Content-Length: ${'9'.repeat(30)}`,
    'Content-Length: 5\r\nContent-Encoding: gzip',
    'Content-Length: 5\r\nTransfer-Encoding: chunked',
  ]) {
    assert.equal(totalBytesOf(headOf(start, other)), undefined, other);
  }
  const part = headOf('HTTP/1.1 206 Partial', 'Content-Length: 5', 'Content-Range: bytes 3-7/8');
  assert.equal(totalBytesOf(part), 8);
  assert.deepEqual(rangeOf(part), { first: 3, totalBytes: 8 });
  const open = headOf('HTTP/1.1 206 Partial', 'Content-Range: bytes 3-7/*');
  assert.deepEqual(rangeOf(open), { first: 3, totalBytes: undefined });
});

test('the end is told by a length, by chunks, by frames, and by the end of a connection not', () => {
  assert.ok(tellsItsEnd(headOf('HTTP/1.1 200 OK', 'Content-Length: 5')));
  assert.ok(tellsItsEnd(headOf('HTTP/1.1 200 OK', 'Transfer-Encoding: gzip, Chunked')));
  assert.ok(tellsItsEnd(headOf('HTTP/2 200 ')));
  assert.ok(!tellsItsEnd(headOf('HTTP/1.1 200 OK')));
  assert.ok(!tellsItsEnd(headOf('HTTP/1.0 200 OK', 'Transfer-Encoding: gzip')));
});

test('of a file there are headers alone', () => {
  const head = headOf('Content-Length: 563', 'Accept-ranges: bytes');
  assert.equal(head.status, 200);
  assert.equal(totalBytesOf(head), 563);
});
