import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CurlFetcher } from '../../src/drivers/fetch/curl-fetcher.ts';
import type { ImageCredentials } from '../../src/drivers/image-fetcher.ts';
import { FetchFolder, QUICK } from '../drivers/images/fetch-fixture.ts';
import { DockerRegistry, PULLER } from '../fixtures/images/docker-registry.ts';
import {
  CONFIG,
  containerDisk,
  DISK_TYPE,
  descriptorOf,
  digestOf,
  GZIP_TYPE,
  indexOf,
  MANIFEST_TYPE,
  manifestOf,
  TAR_TYPE,
} from '../fixtures/images/oci-content.ts';

const never = new AbortController().signal;
/** Its second half is empty, and more than is looked at. */
const DISK = Buffer.concat([randomBytes(2 ** 20 + 17), Buffer.alloc(2 ** 20)]);
const DISK_DIGEST = digestOf(DISK).slice('sha256:'.length);
const TAR = containerDisk(DISK);

const LAYERS = {
  tar: { content: TAR, type: TAR_TYPE },
  'tar and gzip': { content: gzipSync(TAR), type: GZIP_TYPE },
  "tar and gzip in Docker's words": {
    content: gzipSync(TAR),
    type: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
  'the disk itself': { content: DISK, type: DISK_TYPE },
  'the disk itself, called a tar as oras does': { content: DISK, type: TAR_TYPE },
} as const;

const CREDENTIALS: ImageCredentials = { kind: 'password', ...PULLER };

async function push(registry: DockerRegistry, tag: string, layer: Buffer, type: string) {
  const manifest = manifestOf(descriptorOf(layer, type));
  for (const blob of [CONFIG, layer]) await registry.pushBlob('vms/disk', blob);
  await registry.pushManifest('vms/disk', tag, manifest);
  return manifest;
}

void describe("Debian's docker-registry", () => {
  for (const [name, { content, type }] of Object.entries(LAYERS)) {
    void test(`gives a disk as ${name}`, async () => {
      await using registry = await DockerRegistry.start();
      await using folder = await FetchFolder.make();
      const manifest = await push(registry, '1.0', content, type);
      const url = `oci://${registry.host}/vms/disk:1.0`;
      const options = { insecureRegistries: [registry.host] };
      const version = `oci:${digestOf(manifest)}`;
      const peeked = await new CurlFetcher({ ...QUICK, ...options }).peek({ url }, never);
      assert.equal(peeked.totalBytes, DISK.length);
      assert.ok(DISK.subarray(0, 4096).equals(peeked.start.subarray(0, 4096)));
      assert.equal(peeked.version, version);
      const fetched = await folder.fetch(url, {}, options);
      assert.deepEqual(fetched, {
        isUnchanged: false,
        bytes: DISK.length,
        digest: DISK_DIGEST,
        version,
      });
      assert.ok(DISK.equals(await readFile(folder.image)));
      assert.deepEqual(await folder.names(), ['image']);
      const again = await folder.fetch(url, { knownVersion: version }, options);
      assert.deepEqual(again, { isUnchanged: true });
    });
  }

  void test('gives by digest what was meant, and of an index what is for linux/amd64', async () => {
    await using registry = await DockerRegistry.start();
    await using folder = await FetchFolder.make();
    const layer = gzipSync(TAR);
    const right = manifestOf(descriptorOf(layer, GZIP_TYPE));
    const wrong = manifestOf(descriptorOf(CONFIG, GZIP_TYPE));
    for (const blob of [CONFIG, layer]) await registry.pushBlob('vms/disk', blob);
    for (const each of [right, wrong]) {
      await registry.pushManifest('vms/disk', digestOf(each), each);
    }
    const index = indexOf(
      {
        ...descriptorOf(wrong, MANIFEST_TYPE),
        platform: { os: 'linux', architecture: 'arm64' },
      },
      {
        ...descriptorOf(right, MANIFEST_TYPE),
        platform: { os: 'linux', architecture: 'amd64' },
      },
    );
    await registry.pushManifest('vms/disk', 'all', index);
    const options = { insecureRegistries: [registry.host] };
    for (const name of [':all', `@${digestOf(index)}`, `:other@${digestOf(right)}`]) {
      const url = `oci://${registry.host}/vms/disk${name}`;
      const fetched = await folder.fetch(url, { digest: DISK_DIGEST }, options);
      assert.equal(!fetched.isUnchanged && fetched.digest, DISK_DIGEST);
    }
  });

  void test('gives it to who shows who he is, and to nobody else', async () => {
    await using registry = await DockerRegistry.start({ asksWho: true });
    await using folder = await FetchFolder.make();
    await push(registry, 'latest', DISK, DISK_TYPE);
    const url = `oci://${registry.host}/vms/disk`;
    const options = { insecureRegistries: [registry.host] };
    await assert.rejects(folder.fetch(url, {}, options), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /manifests\/latest answered 401 Unauthorized; name a secret in auth/,
    });
    const wrong = { ...CREDENTIALS, password: 'wrong' } as const;
    await assert.rejects(folder.fetch(url, { credentials: wrong }, options), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /answered 401 .*look whether the secret that auth names is right/,
    });
    await folder.assertEmpty();
    const fetched = await folder.fetch(url, { credentials: CREDENTIALS }, options);
    assert.equal(!fetched.isUnchanged && fetched.digest, DISK_DIGEST);
  });

  void test('is asked without TLS only where the settings say so', async () => {
    await using registry = await DockerRegistry.start();
    await using folder = await FetchFolder.make();
    await push(registry, 'latest', DISK, DISK_TYPE);
    await assert.rejects(folder.fetch(`oci://${registry.host}/vms/disk`), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /no TLS connection could be made.*images\.insecureRegistries/,
    });
    await folder.assertEmpty();
  });
});

void test('what is shown stands in no command line', async () => {
  await using registry = await DockerRegistry.start({ asksWho: true });
  await using folder = await FetchFolder.make();
  await using programs = await mkdtempDisposable(path.join(tmpdir(), 'novacron-programs-'));
  const log = path.join(programs.path, 'log');
  const script = `#!/bin/sh\nprintf '%s\\n' "$@" >>${log}\nenv >>${log}\nexec /usr/bin/curl "$@"\n`;
  await writeFile(path.join(programs.path, 'curl'), script, { mode: 0o755 });
  const before = process.env['PATH'];
  process.env['PATH'] = `${programs.path}:${before}`;
  try {
    await push(registry, 'latest', DISK, DISK_TYPE);
    const options = { insecureRegistries: [registry.host] };
    const url = `oci://${registry.host}/vms/disk`;
    await folder.fetch(url, { credentials: CREDENTIALS }, options);
    const s3 = { endpoint: 'http://127.0.0.1:1', region: 'x' };
    const bucket = { credentials: CREDENTIALS };
    await assert.rejects(folder.fetch('s3://bucket/key', bucket, { s3 }), /no connection/);
  } finally {
    process.env['PATH'] = before;
  }
  const said = await readFile(log, 'utf8');
  assert.match(said, /^--max-redirs$/m);
  const basic = btoa(`${PULLER.user}:${PULLER.password}`);
  for (const secret of [PULLER.password, basic]) assert.ok(!said.includes(secret));
});
