import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { CurlFetcher, type CurlFetcherOptions } from '../../../src/drivers/fetch/curl-fetcher.ts';
import type {
  FetchedContent,
  FetchRequest,
  ImageCredentials,
} from '../../../src/drivers/image-fetcher.ts';
import {
  type Answer,
  type Asked,
  MisbehavingServer,
} from '../../fixtures/images/misbehaving-server.ts';
import {
  containerDisk,
  DISK_TYPE,
  descriptorOf,
  digestOf,
  GZIP_TYPE,
  indexOf,
  manifestOf,
  TAR_TYPE,
  tarOf,
} from '../../fixtures/images/oci-content.ts';
import { OwnRegistry } from '../../fixtures/images/own-registry.ts';
import { FetchFolder, QUICK } from './fetch-fixture.ts';

const never = new AbortController().signal;
const DISK = randomBytes(300_000);
const OTHER = randomBytes(300_000);
const SECRET = 'Zm9vYmFy-very-secret';
const CREDENTIALS: ImageCredentials = { kind: 'password', user: 'puller', password: SECRET };

type Behaviour = (asked: Asked, registry: OwnRegistry, server: MisbehavingServer) => Answer;

/** A registry that has an image and behaves as it is told to, and a folder to fetch into. */
class Scene implements AsyncDisposable {
  readonly registry = new OwnRegistry();
  readonly server: MisbehavingServer;
  readonly folder: FetchFolder;

  private constructor(server: MisbehavingServer, folder: FetchFolder) {
    this.server = server;
    this.folder = folder;
  }

  static async make(layer: Buffer, type = DISK_TYPE, behave?: Behaviour): Promise<Scene> {
    const server = await MisbehavingServer.start(() => ({ status: 500 }));
    const scene = new Scene(server, await FetchFolder.make());
    scene.registry.addBlob(layer).addManifest(manifestOf(descriptorOf(layer, type)));
    server.behaviour = (asked) =>
      behave?.(asked, scene.registry, server) ?? scene.registry.answer(asked);
    return scene;
  }

  get host(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  url(name = ''): string {
    return `oci://${this.host}/vms/disk${name}`;
  }

  get options(): Partial<CurlFetcherOptions> {
    return { insecureRegistries: [this.host] };
  }

  async fetch(changes: Partial<FetchRequest> = {}, name = ''): Promise<FetchedContent> {
    return await this.folder.fetch(this.url(name), changes, this.options);
  }

  /** Both by a look and by fetching it, which leaves nothing. */
  async assertRefused(
    refusal: { readonly reason: string; readonly message: RegExp },
    changes: Partial<FetchRequest> = {},
  ): Promise<void> {
    const fetcher = new CurlFetcher({ ...QUICK, ...this.options });
    await assert.rejects(fetcher.peek({ url: this.url(), ...changes }, never), refusal);
    await this.assertNotFetched(refusal, changes);
  }

  async assertNotFetched(
    refusal: { readonly reason: string; readonly message: RegExp },
    changes: Partial<FetchRequest> = {},
  ): Promise<void> {
    await assert.rejects(this.fetch(changes), refusal);
    await this.folder.assertEmpty();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

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

void describe('a registry', () => {
  void test('that sends another manifest than its header says is refused', async () => {
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry) => {
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
    await using scene = await Scene.make(DISK, DISK_TYPE, (_asked, registry) =>
      registry.answer({ method: 'GET', url: '/v2/x/manifests/latest', range: '', headers: {} }),
    );
    await assert.rejects(scene.fetch({}, `@${digestOf(OTHER)}`), {
      reason: 'IMAGE_DIGEST_MISMATCH',
    });
    await scene.folder.assertEmpty();
  });

  void test('that sends another layer than its manifest names is refused', async () => {
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry) =>
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
      await using scene = await Scene.make(layer, layer === DISK ? DISK_TYPE : TAR_TYPE);
      await scene.assertNotFetched(
        { reason: 'IMAGE_DIGEST_MISMATCH', message: /asked for/ },
        { digest },
      );
    }
  });

  void test('whose manifest is larger than any is not read to its end', async () => {
    const body = Buffer.alloc(100 * 2 ** 20, ' ');
    await using scene = await Scene.make(DISK, DISK_TYPE, () => ({ body, framing: 'chunks' }));
    await scene.assertRefused({
      reason: 'IMAGE_FETCH_FAILED',
      message: /says more than the 4194304 bytes that are read of it/,
    });
  });

  void test('that says nothing is given up', async () => {
    await using scene = await Scene.make(DISK, DISK_TYPE, () => ({ isSilent: true }));
    await scene.assertRefused({
      reason: 'IMAGE_FETCH_FAILED',
      message: /the server sent nothing for too long/,
    });
  });

  for (const location of ['http://169.254.169.254/latest', 'file:///etc/shadow']) {
    void test(`whose layers are at ${location} is refused`, async () => {
      await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry) =>
        asked.url.includes('/blobs/')
          ? { status: 307, headers: { location } }
          : registry.answer(asked),
      );
      await scene.assertRefused({ reason: 'IMAGE_NOT_ALLOWED', message: /it redirects to/ });
    });
  }

  void test('that cuts a layer off goes on where it was', async () => {
    let cuts = 0;
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry) => {
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
      await using scene = await Scene.make(DISK);
      scene.server.behaviour = () => ({ body: manifest });
      await scene.assertRefused({ reason: 'IMAGE_INVALID', message });
    });
  }

  void test('whose layer says that it is larger than may be is refused before it comes', async () => {
    await using scene = await Scene.make(DISK);
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
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry, server) => {
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
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, registry) => {
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
    await using scene = await Scene.make(DISK, DISK_TYPE, (asked, _registry, server) =>
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
      await using scene = await Scene.make(DISK, DISK_TYPE, () => toLogin(realm));
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
      await using scene = await Scene.make(layer, TAR_TYPE);
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
    'its end cut off': [containerDisk(DISK).subarray(0, 200_000), /is broken.*Unexpected EOF/],
    'gzip that is broken': [
      gzipSync(containerDisk(DISK)).subarray(0, 200_000),
      /has a layer that is broken/,
    ],
  };
  for (const [name, [layer, message]] of Object.entries(LATE)) {
    void test(`with ${name} is refused once it has come`, async () => {
      await using scene = await Scene.make(layer, GZIP_TYPE);
      await scene.assertNotFetched({ reason: 'IMAGE_INVALID', message });
    });
  }

  void test('of some KiB that unpacks to more than may be is refused by what it says', async () => {
    const bomb = gzipSync(containerDisk(Buffer.alloc(32 * 2 ** 20)));
    await using scene = await Scene.make(bomb, GZIP_TYPE);
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
    await using scene = await Scene.make(gzipSync(both), GZIP_TYPE);
    const message = /has more than one disk in its layer/;
    const maxBytes = 2 ** 20;
    await scene.assertNotFetched({ reason: 'IMAGE_INVALID', message }, { maxBytes });
  });
});
