import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inflateSync } from 'node:zlib';
import { readPicture } from '../../../../src/drivers/libvirt/picture.ts';

const PIXELS = Uint8Array.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]);

function pixmap(head: string, pixels: Uint8Array = PIXELS): Buffer {
  return Buffer.concat([Buffer.from(head), pixels]);
}

test('a pixmap becomes a PNG with the same points', async () => {
  const picture = await readPicture(pixmap('P6\n2 2\n255\n'));
  assert.deepEqual([picture?.width, picture?.height], [2, 2]);
  const png = Buffer.from(picture?.png ?? []);
  const data = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(data + 4, data + 4 + png.readUInt32BE(data - 4)));
  assert.deepEqual([...rows], [0, ...PIXELS.subarray(0, 6), 0, ...PIXELS.subarray(6)]);
  // A PNG is taken as it is.
  assert.deepEqual(await readPicture(png), picture);
});

test('what is no whole picture is none', async () => {
  const png = Buffer.from((await readPicture(pixmap('P6 2 2 255 ')))?.png ?? []);
  for (const wrong of [
    Buffer.alloc(0),
    Buffer.from('P6'),
    pixmap('P6\n2 3\n255\n'),
    pixmap('P6\n0 0\n255\n'),
    pixmap('P6\n99999 99999\n255\n'),
    pixmap('P6\n999999 1\n255\n'),
    pixmap('P5\n2 2\n255\n'),
    png.subarray(0, -1),
    png.subarray(0, 20),
  ]) {
    assert.equal(await readPicture(wrong), undefined, wrong.toString('latin1'));
  }
});
