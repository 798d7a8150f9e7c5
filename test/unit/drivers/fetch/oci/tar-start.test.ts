import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import {
  assertTaken,
  packingOf,
  readPackedStart,
  UnusableLayer,
} from '../../../../../src/drivers/fetch/oci/tar-start.ts';
import { containerDisk } from '../../../../fixtures/images/oci-content.ts';

const DISK = Buffer.from('QFI\u00fb and so on');
const TARS = ['gnu', 'pax', 'ustar', 'oldgnu'].map((format) =>
  containerDisk(DISK, `--format=${format}`),
);

test('the disk is found in a tar of every format, with gzip or without', async () => {
  for (const tar of TARS) {
    for (const layer of [tar, gzipSync(tar)]) {
      const packing = packingOf(layer);
      assert.equal(packing, layer === tar ? 'tar' : 'gzip');
      const { name, bytes, start } = await readPackedStart(layer, packing ?? 'tar');
      assert.deepEqual([name, bytes], ['./disk/disk.img', DISK.length]);
      assert.ok(DISK.equals(start));
    }
  }
  assert.equal(packingOf(DISK), undefined);
  assert.equal(packingOf(Buffer.alloc(0)), undefined);
});

test('a disk is found by its long name, and of its own size, which may be larger than octal digits have', async () => {
  const long = containerDisk(DISK, `--transform=s,disk.img,${'x'.repeat(300)},`);
  assert.equal((await readPackedStart(long, 'tar')).name, `./disk/${'x'.repeat(300)}`);
  const [tar = Buffer.alloc(0)] = TARS;
  const huge = Buffer.from(tar);
  const at = huge.indexOf('./disk/disk.img') + 124;
  huge.fill(0, at, at + 12);
  huge[at] = 0x80;
  huge.writeBigUInt64BE(2n ** 40n, at + 4);
  assert.equal((await readPackedStart(huge, 'tar')).bytes, 2 ** 40);
  huge.writeBigUInt64BE(2n ** 63n, at + 4);
  await assert.rejects(readPackedStart(huge, 'tar'), /no good tar/);
});

test('a path that is no disk/FILE is not taken, whatever stands before it', () => {
  for (const name of ['disk/a', './disk/a', '././disk//a']) assertTaken(name, '0');
  for (const name of ['/disk/a', '../disk/a', 'disk/../a', 'disk/..', 'a', 'disk/a/b', 'x/a', '']) {
    assert.throws(() => assertTaken(name, '0'), UnusableLayer, name);
  }
  for (const kind of ['1', '2', '3', '4', '6', '7', 'S', 'h', 'l', 'c', 'b', 'p', '?']) {
    assert.throws(() => assertTaken('disk/a', kind), UnusableLayer, kind);
  }
});

test('whatever the bytes are, there is a disk or a refusal', async () => {
  const someTar = fc.constantFrom(...TARS.flatMap((tar) => [tar, gzipSync(tar)]));
  const change = fc.tuple(fc.nat(3000), fc.nat(255));
  const mutated = fc.tuple(someTar, fc.array(change, { maxLength: 20 })).map(([tar, changes]) => {
    const copy = Buffer.from(tar);
    for (const [at, value] of changes) copy[at % copy.length] = value;
    return copy;
  });
  const bytes = fc.uint8Array({ maxLength: 4096 }).map((array) => Buffer.from(array));
  const layers = fc.oneof(mutated, bytes);
  await fc.assert(
    fc.asyncProperty(layers, fc.constantFrom('tar', 'gzip'), async (layer, packing) => {
      try {
        const { bytes: size, start } = await readPackedStart(layer, packing);
        assert.ok(Number.isSafeInteger(size) && start.length <= Math.max(0, size));
      } catch (error) {
        assert.ok(error instanceof UnusableLayer, String(error));
      }
    }),
    { numRuns: 500 },
  );
});
