import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tooMuch } from '../../../../src/agent/images/image-cache.ts';
import type { StoredImage } from '../../../../src/drivers/image-store.ts';

function newImage(
  digest: string,
  lastUsedAtMs: number,
  usedBy: readonly string[] = [],
): StoredImage {
  const path = `/srv/disks/base/${digest}.qcow2`;
  const sizes = { virtualBytes: 1_000, contentBytes: 100, diskBytes: 100 };
  return { digest, path, format: 'qcow2', ...sizes, origins: [], lastUsedAtMs, usedBy };
}

const digestsOf = (images: readonly StoredImage[]) => images.map(({ digest }) => digest);

test('images go from the one that was used longest ago on until the others may stay', () => {
  const images = [newImage('new', 30), newImage('old', 10), newImage('mid', 20)];
  assert.deepEqual(digestsOf(tooMuch(images, 300, 1_000)), []);
  assert.deepEqual(digestsOf(tooMuch(images, 299, 1_000)), ['old']);
  assert.deepEqual(digestsOf(tooMuch(images, 100, 1_000)), ['old', 'mid']);
  assert.deepEqual(digestsOf(tooMuch(images, 0, 1_000)), ['old', 'mid', 'new']);
});

test('one that a disk stands on, or may be about to, stays whatever it takes', () => {
  const images = [newImage('used', 10, ['/srv/disks/web-root.qcow2']), newImage('fresh', 2_000)];
  assert.deepEqual(digestsOf(tooMuch(images, 0, 1_000)), []);
});
