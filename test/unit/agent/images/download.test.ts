import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Download } from '../../../../src/agent/images/download.ts';
import type { StoredImage } from '../../../../src/drivers/image-store.ts';

const IMAGE = { digest: 'ab' } as StoredImage;

function newDownload() {
  const done = Promise.withResolvers<StoredImage>();
  const ends: unknown[] = [];
  const download = new Download((tell, signal) => {
    tell({ step: 'fetching', bytes: 1, totalBytes: 2 });
    signal.addEventListener('abort', () => ends.push(signal.reason));
    return done.promise;
  });
  return { download, done, ends };
}

test('a download goes on while somebody holds it, and tells how far it is', async () => {
  const { download, done, ends } = newDownload();
  download.hold('one');
  download.hold('two');
  download.release('one');
  assert.ok(!download.isForNobody && download.isGoingOn && !download.isHeldBy('one'));
  assert.deepEqual(download.progress, { step: 'fetching', bytes: 1, totalBytes: 2 });
  done.resolve(IMAGE);
  assert.equal(await download.outcome, IMAGE);
  assert.ok(!download.isGoingOn);
  assert.deepEqual(ends, []);
});

test('who has not asked for long holds it no more', () => {
  const { download } = newDownload();
  download.hold('one');
  download.releaseSilent(60_000);
  assert.ok(download.isHeldBy('one'));
  download.releaseSilent(-1);
  assert.ok(download.isForNobody);
});

test('it is ended by a word, and what comes of that is nobody’s', () => {
  const { download, done, ends } = newDownload();
  download.end();
  assert.equal(ends.length, 1);
  done.reject(new Error('ended'));
});
