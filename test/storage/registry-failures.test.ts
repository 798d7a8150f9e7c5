import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import type { ImageCredentials } from '../../src/drivers/image-fetcher.ts';
import { FetchFolder } from '../drivers/images/fetch-fixture.ts';
import { RegistryScene } from '../drivers/images/registry-scene.ts';
import { type Answer, MisbehavingServer } from '../fixtures/images/misbehaving-server.ts';
import {
  containerDisk,
  DISK_TYPE,
  descriptorOf,
  digestOf,
  indexOf,
  manifestOf,
  TAR_TYPE,
} from '../fixtures/images/oci-content.ts';

const DISK = randomBytes(300_000);
const OTHER = randomBytes(300_000);
const SECRET = 'Zm9vYmFy-very-secret';
const CREDENTIALS: ImageCredentials = { kind: 'password', user: 'puller', password: SECRET };

void describe('a registry', () => {
  void test('that sends another manifest than its header says is refused', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry) => {
      const answer = registry.answer(asked);
      return {
        ...answer,
        headers: { ...answer.headers, 'docker-content-digest': digestOf(OTHER) },
      };
    });
    await scene.assertRefused({
      reason: 'IMAGE_DIGEST_MISMATCH',
      message: /its digest is sha256:[0-9a-f]{64}, and not sha256:[0-9a-f]{64}/,
    });
  });

  void test('that sends another manifest than was asked for by its digest is refused', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (_asked, registry) =>
      registry.answer({ method: 'GET', url: '/v2/x/manifests/latest', range: '', headers: {} }),
    );
    await assert.rejects(scene.fetch({}, `@${digestOf(OTHER)}`), {
      reason: 'IMAGE_DIGEST_MISMATCH',
    });
    await scene.folder.assertEmpty();
  });

  void test('that sends another layer than its manifest names is refused', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry) =>
      asked.url.includes('/blobs/') ? { body: OTHER } : registry.answer(asked),
    );
    await scene.assertNotFetched({
      reason: 'IMAGE_DIGEST_MISMATCH',
      message: /its registry has sent a layer with the digest sha256:.*, and its manifest names/,
    });
  });

  void test('whose disk is not the one that was asked for is refused', async () => {
    const digest = digestOf(OTHER).slice('sha256:'.length);
    for (const layer of [DISK, containerDisk(DISK)]) {
      await using scene = await RegistryScene.make(layer, layer === DISK ? DISK_TYPE : TAR_TYPE);
      await scene.assertNotFetched(
        { reason: 'IMAGE_DIGEST_MISMATCH', message: /asked for/ },
        { digest },
      );
    }
  });

  void test('whose manifest is larger than any is not read to its end', async () => {
    const body = Buffer.alloc(100 * 2 ** 20, ' ');
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, () => ({
      body,
      framing: 'chunks',
    }));
    await scene.assertRefused({
      reason: 'IMAGE_FETCH_FAILED',
      message: /says more than the 4194304 bytes that are read of it/,
    });
  });

  void test('that says nothing is given up', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, () => ({ isSilent: true }));
    await scene.assertRefused({
      reason: 'IMAGE_FETCH_FAILED',
      message: /the server sent nothing for too long/,
    });
  });

  for (const location of ['http://169.254.169.254/latest', 'file:///etc/shadow']) {
    void test(`whose layers are at ${location} is refused`, async () => {
      await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry) =>
        asked.url.includes('/blobs/')
          ? { status: 307, headers: { location } }
          : registry.answer(asked),
      );
      await scene.assertRefused({ reason: 'IMAGE_NOT_ALLOWED', message: /it redirects to/ });
    });
  }

  void test('that cuts a layer off goes on where it was', async () => {
    let cuts = 0;
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry) => {
      const isCut = asked.url.includes('/blobs/') && cuts++ === 0;
      return { ...registry.answer(asked), cutAfter: isCut ? 100_000 : undefined };
    });
    const fetched = await scene.fetch();
    assert.equal(!fetched.isUnchanged && `sha256:${fetched.digest}`, digestOf(DISK));
    assert.equal(scene.server.asked.at(-1)?.range, 'bytes=100000-');
  });

  const UNUSABLE = {
    'no JSON': [Buffer.from('<html>'), /has a manifest that is no JSON/],
    'another thing': [Buffer.from('{"fsLayers":[]}'), /that is none of an image or an artifact/],
    'two things at once': [
      Buffer.from(JSON.stringify({ ...JSON.parse(manifestOf().toString()), manifests: [] })),
      /that is none of an image or an artifact/,
    ],
    'no layer': [manifestOf(), /has 0 layers/],
    'two layers': [
      manifestOf(descriptorOf(DISK, DISK_TYPE), descriptorOf(OTHER, DISK_TYPE)),
      /has 2 layers/,
    ],
    zstd: [manifestOf(descriptorOf(DISK, `${TAR_TYPE}+zstd`)), /compressed by zstd/],
    'another digest': [
      manifestOf({ mediaType: DISK_TYPE, digest: `sha512:${'a'.repeat(128)}`, size: 1 }),
      /other digests than SHA-256/,
    ],
    'no platform of ours': [
      indexOf({
        ...descriptorOf(DISK, 'application/vnd.oci.image.manifest.v1+json'),
        platform: { os: 'windows', architecture: 'amd64' },
      }),
      /has nothing for linux\/amd64/,
    ],
  } as const;
  for (const [name, [manifest, message]] of Object.entries(UNUSABLE)) {
    void test(`whose manifest has ${name} is refused`, async () => {
      await using scene = await RegistryScene.make(DISK);
      scene.server.behaviour = () => ({ body: manifest });
      await scene.assertRefused({ reason: 'IMAGE_INVALID', message });
    });
  }

  void test('whose layer says that it is larger than may be is refused before it comes', async () => {
    await using scene = await RegistryScene.make(DISK);
    scene.registry.addManifest(manifestOf({ ...descriptorOf(DISK, DISK_TYPE), size: 2 ** 50 }));
    await scene.assertNotFetched({ reason: 'IMAGE_INVALID', message: /larger than/ });
    assert.ok(scene.server.asked.every(({ url }) => !url.includes('/blobs/')));
  });
});

/** Sends whoever asks to where tokens are given out. */
function toLogin(realm: string): Answer {
  const challenge = `Bearer realm="${realm}",service="own",scope="repository:x:pull"`;
  return { status: 401, headers: { 'www-authenticate': challenge } };
}

void describe('who is asked for', () => {
  void test('is shown once where tokens are given out, and the registry sees the token only', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry, server) => {
      if (asked.url.startsWith('/token?')) return { body: '{"token":"t0k3n"}' };
      if (asked.headers.authorization === 'Bearer t0k3n') return registry.answer(asked);
      return toLogin(server.url('/token'));
    });
    await scene.fetch({ credentials: CREDENTIALS });
    const tokens = scene.server.asked.filter(({ url }) => url.startsWith('/token'));
    assert.deepEqual(
      tokens.map(({ url, headers }) => [url, headers.authorization]),
      [['/token?service=own&scope=repository%3Ax%3Apull', `Basic ${btoa(`puller:${SECRET}`)}`]],
    );
    const others = scene.server.asked.filter(({ url }) => !url.startsWith('/token'));
    const shown = new Set(others.map(({ headers }) => headers.authorization));
    assert.deepEqual(shown, new Set([undefined, 'Bearer t0k3n']));
  });

  void test('is not shown to where a layer is redirected to', async () => {
    await using storage = await MisbehavingServer.start(() => ({ body: DISK }), '127.0.0.7');
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, registry) => {
      if (asked.headers.authorization === undefined) {
        return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
      }
      if (!asked.url.includes('/blobs/')) return registry.answer(asked);
      return { status: 307, headers: { location: storage.url('/object?signed') } };
    });
    await scene.fetch({ credentials: CREDENTIALS });
    assert.deepEqual(
      storage.asked.map(({ url, headers }) => [url, headers.authorization]),
      [['/object?signed', undefined]],
    );
  });

  void test('is asked for for ever, and shown twice at most', async () => {
    await using scene = await RegistryScene.make(DISK, DISK_TYPE, (asked, _registry, server) =>
      asked.url.startsWith('/token') ? { body: '{"token":"t"}' } : toLogin(server.url('/token')),
    );
    const refusal = {
      reason: 'IMAGE_FETCH_FAILED',
      message: /answered 401 Unauthorized; look whether the secret that auth names is right/,
    };
    await scene.assertNotFetched(refusal, { credentials: CREDENTIALS });
    assert.equal(scene.server.asked.length, 3);
  });

  const REALMS = {
    'http://169.254.169.254/token': /no https: address/,
    'https://169.254.169.254/token': /https:\/\/169\.254\.169\.254\/token\?… is at 169\.254/,
    'file:///etc/shadow': /no https: address/,
    nonsense: /no https: address/,
  };
  for (const [realm, message] of Object.entries(REALMS)) {
    void test(`is shown to nobody at ${realm}`, async () => {
      await using scene = await RegistryScene.make(DISK, DISK_TYPE, () => toLogin(realm));
      await scene.assertRefused(
        { reason: 'IMAGE_NOT_ALLOWED', message },
        { credentials: CREDENTIALS },
      );
    });
  }

  void test('stands in no message, whatever a server says', async () => {
    const basic = btoa(`puller:${SECRET}`);
    await using server = await MisbehavingServer.start(({ headers }) => ({
      status: 302,
      headers: { location: `ftp://elsewhere/${SECRET}/${headers.authorization?.split(' ')[1]}` },
    }));
    await using folder = await FetchFolder.make();
    await assert.rejects(
      folder.fetch(server.url(), { credentials: CREDENTIALS }),
      (error: Error) => {
        assert.match(error.message, /ftp:\/\/elsewhere\/…\/…,/);
        assert.ok(!error.message.includes(SECRET) && !error.message.includes(basic));
        return true;
      },
    );
    assert.equal(server.asked[0]?.headers.authorization, `Basic ${basic}`);
  });
});
