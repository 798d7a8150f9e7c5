import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { RegistryScene } from '../drivers/images/registry-scene.ts';
import {
  containerDisk,
  digestOf,
  GZIP_TYPE,
  TAR_TYPE,
  tarOf,
} from '../fixtures/images/oci-content.ts';
import { until } from '../fixtures/until.ts';

const DISK = randomBytes(300_000);
const OTHER = randomBytes(300_000);

function inLayer(make: (folder: string) => void, ...options: readonly string[]): Buffer {
  return tarOf(
    (folder) => {
      mkdirSync(path.join(folder, 'disk'));
      make(folder);
    },
    ...options,
  );
}

function withDisk(folder: string, name = 'a.img', content: Buffer = DISK): string {
  const file = path.join(folder, 'disk', name);
  writeFileSync(file, content);
  return file;
}

void describe('a layer', () => {
  const HOSTILE: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    'a link to a file of the node': [
      inLayer((folder) => symlinkSync('/etc/shadow', path.join(folder, 'disk', 'a.img'))),
      /has a link in its layer \(\.\/disk\/a\.img\)/,
    ],
    'its folder as a link': [
      tarOf((folder) => symlinkSync('/etc', path.join(folder, 'disk'))),
      /has a link in its layer \(\.\/disk\)/,
    ],
    'a path that leads out': [
      inLayer(
        (folder) => void withDisk(folder),
        '--absolute-names',
        '--transform=s,.*a.img,../../a.img,',
        'disk/a.img',
      ),
      /has \.\.\/\.\.\/a\.img in its layer, a path that leads out of it/,
    ],
    'an absolute path': [
      inLayer(
        (folder) => void withDisk(folder),
        '--absolute-names',
        '--transform=s,.*a.img,/disk/a.img,',
        'disk/a.img',
      ),
      /has \/disk\/a\.img in its layer, a path that leads out of it/,
    ],
    'a file with holes': [
      inLayer((folder) => truncateSync(withDisk(folder), 2 ** 40), '--sparse', '--format=gnu'),
      /has a file with holes in its layer/,
    ],
    'a file with holes in a newer way': [
      inLayer((folder) => truncateSync(withDisk(folder), 2 ** 40), '--sparse', '--format=pax'),
      /has a file with holes in its layer/,
    ],
    'no disk': [inLayer(() => undefined), /has no disk\/FILE at the start of its layer/],
    'something else': [
      tarOf((folder) => writeFileSync(path.join(folder, 'passwd'), 'x')),
      /has \.\/passwd in its layer, and only one disk\/FILE is taken/,
    ],
    'something that is compressed and no tar': [
      gzipSync(DISK),
      /has a layer that is compressed and no tar/,
    ],
  };
  for (const [name, [layer, message]] of Object.entries(HOSTILE)) {
    void test(`with ${name} is refused`, async () => {
      await using scene = await RegistryScene.make(layer, TAR_TYPE);
      await scene.assertRefused({ reason: 'IMAGE_INVALID', message });
    });
  }

  const LATE: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    'a second disk': [
      inLayer((folder) => [withDisk(folder), withDisk(folder, 'b.img', OTHER)], '--sort=name'),
      /has more than one disk in its layer \(\.\/disk\/a\.img and \.\/disk\/b\.img\)/,
    ],
    'a link behind its disk': [
      inLayer(
        (folder) => linkSync(withDisk(folder), path.join(folder, 'disk', 'b.img')),
        '--sort=name',
      ),
      /has a link in its layer \(\.\/disk\/b\.img link to/,
    ],
    'a device behind its disk': [
      inLayer((folder) => {
        withDisk(folder);
        execFileSync('mknod', [path.join(folder, 'disk', 'b.img'), 'b', '7', '0']);
      }, '--sort=name'),
      /has a device in its layer \(\.\/disk\/b\.img\)/,
    ],
    'a pipe behind its disk': [
      inLayer((folder) => {
        withDisk(folder);
        execFileSync('mkfifo', [path.join(folder, 'disk', 'b.img')]);
      }, '--sort=name'),
      /has a pipe in its layer \(\.\/disk\/b\.img\)/,
    ],
    'its end cut off': [containerDisk(DISK).subarray(0, 200_000), /is broken.*Unexpected EOF/],
    'gzip that is broken': [
      gzipSync(containerDisk(DISK)).subarray(0, 200_000),
      /has a layer that is broken/,
    ],
  };
  for (const [name, [layer, message]] of Object.entries(LATE)) {
    void test(`with ${name} is refused once it has come`, async () => {
      await using scene = await RegistryScene.make(layer, GZIP_TYPE);
      await scene.assertNotFetched({ reason: 'IMAGE_INVALID', message });
    });
  }

  void test('that is given up while it is unpacked leaves only what has come, and goes on from that', async () => {
    const disk = Buffer.alloc(192 * 2 ** 20);
    const layer = gzipSync(containerDisk(disk), { level: 1 });
    await using scene = await RegistryScene.make(layer, GZIP_TYPE);
    const given = new AbortController();
    const { signal } = given;
    const fetching = scene.folder.fetch(scene.url(), {}, { ...scene.options, signal });
    const isUnpacking = async () => (await scene.folder.names()).includes('image.unpacked');
    await until('it is unpacked', isUnpacking);
    given.abort(new Error('given up'));
    await assert.rejects(fetching, /given up/);
    assert.deepEqual(await scene.folder.names(), ['image.part', 'image.part.json']);
    // As who is killed leaves it.
    await writeFile(`${scene.folder.image}.unpacked`, 'half');
    const fetched = await scene.fetch();
    assert.equal(!fetched.isUnchanged && `sha256:${fetched.digest}`, digestOf(disk));
    assert.deepEqual(await scene.folder.names(), ['image']);
    assert.equal(scene.server.asked.at(-1)?.range, `bytes=${layer.length - 1}-`);
  });

  void test('of some KiB that unpacks to more than may be is refused by what it says', async () => {
    const bomb = gzipSync(containerDisk(Buffer.alloc(32 * 2 ** 20)));
    await using scene = await RegistryScene.make(bomb, GZIP_TYPE);
    await scene.assertNotFetched(
      { reason: 'IMAGE_INVALID', message: /larger than the 1048576 bytes/ },
      { maxBytes: 2 ** 20 },
    );
  });

  void test('that unpacks to much more behind its disk fills no disk', async () => {
    const zeros = Buffer.alloc(64 * 2 ** 20);
    const both = inLayer(
      (folder) => [withDisk(folder), withDisk(folder, 'b.img', zeros)],
      '--sort=name',
    );
    await using scene = await RegistryScene.make(gzipSync(both), GZIP_TYPE);
    const message = /has more than one disk in its layer/;
    const maxBytes = 2 ** 20;
    await scene.assertNotFetched({ reason: 'IMAGE_INVALID', message }, { maxBytes });
  });
});
