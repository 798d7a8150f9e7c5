import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { AgentError } from '../../src/core/errors.ts';
import { CurlFetcher } from '../../src/drivers/fetch/curl-fetcher.ts';
import { FetchFolder, imageOf, QUICK, V1, V2 } from '../drivers/images/fetch-fixture.ts';
import { MisbehavingServer, wellBehaved } from '../fixtures/images/misbehaving-server.ts';
import { until } from '../fixtures/until.ts';

const never = new AbortController().signal;
const isRoot = process.getuid?.() === 0;
const HALF = Math.floor(V1.content.length / 2);
const EMPTY = imageOf(Buffer.alloc(0), { etag: '"empty"' });

async function peekAt(server: MisbehavingServer) {
  return await new CurlFetcher(QUICK).peek({ url: server.url() }, never);
}

function sendingTo(location: string) {
  return () => ({ status: 302, headers: { location }, body: 'elsewhere' });
}

void describe('a redirection', () => {
  const REFUSED = {
    'file:///etc/shadow': /redirects to file:\/\/\/etc\/shadow, and only http: and https: are/,
    'http://169.254.169.254/latest/': /169\.254\.169\.254, from where the settings .* no images/,
    'http://[::ffff:169.254.169.254]/': /from where the settings of this node allow no images/,
    'http://2852039166/': /it redirects to http:\/\/169\.254\.169\.254\/, which is at/,
    'gopher://127.0.0.1/': /only http: and https: are followed/,
  };

  for (const [location, message] of Object.entries(REFUSED)) {
    void test(`to ${location} is refused`, async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(sendingTo(location));
      const refusal = { reason: 'IMAGE_NOT_ALLOWED', message };
      await assert.rejects(folder.fetch(server.url()), refusal);
      const peek = new CurlFetcher(QUICK).peek({ url: server.url() }, never);
      await assert.rejects(peek, refusal);
      await folder.assertEmpty();
    });
  }

  void test('to a name that leads where images must not come from is refused', async () => {
    await using folder = await FetchFolder.make();
    await using inside = await MisbehavingServer.start((asked) => wellBehaved(V1, asked));
    const secret = `http://localhost:${inside.port}/secret?token=1`;
    await using server = await MisbehavingServer.start(sendingTo(secret), '127.0.0.9');
    const forbiddenNetworks = ['127.0.0.1/32', '::1/128'];
    await assert.rejects(folder.fetch(server.url(), {}, { forbiddenNetworks }), {
      reason: 'IMAGE_NOT_ALLOWED',
      message: /redirects to http:\/\/localhost:\d+\/secret\?…, which is at (127\.0\.0\.1|::1)/,
    });
    await assert.rejects(folder.fetch(secret, {}, { forbiddenNetworks }), {
      reason: 'IMAGE_NOT_ALLOWED',
    });
    assert.deepEqual(inside.asked, []);
    await folder.assertEmpty();
  });

  void test('of a redirection is followed, as often as is sensible', async () => {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start((asked) => {
      const left = Number(asked.url.slice(1));
      return left === 0 ? wellBehaved(V1, asked) : sendingTo(`/${left - 1}`)();
    });
    await folder.fetch(server.url('/5'));
    await folder.assertHas(V1);
    await assert.rejects(folder.fetch(server.url('/6')), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /redirects more than 5 times/,
    });
  });
});

void describe('too large', () => {
  for (const framing of ['length', 'chunks'] as const) {
    void test(`by its ${framing} is refused, and nothing of it stays`, async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(() => ({
        ...V1,
        body: V1.content,
        framing,
      }));
      await assert.rejects(folder.fetch(server.url(), { maxBytes: 2 ** 20 }), {
        reason: 'IMAGE_INVALID',
        message: /larger than the 1048576 bytes that it may have/,
      });
      await folder.assertEmpty();
      await folder.fetch(server.url(), { maxBytes: V1.content.length });
      await folder.assertHas(V1);
    });

    void test(`for the disk by its ${framing} is refused, and nothing of it stays`, {
      skip: isRoot ? false : 'needs root',
    }, async () => {
      await using folder = await FetchFolder.make();
      const at = path.join(folder.root, 'small');
      await mkdir(at);
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', at]);
      try {
        await using server = await MisbehavingServer.start(() => ({ body: V1.content, framing }));
        await assert.rejects(folder.fetch(server.url(), { path: path.join(at, 'image') }), {
          reason: 'STORAGE_FULL',
          message: /make room there$/,
        });
        assert.deepEqual(await readdir(at), []);
      } finally {
        spawnSync('umount', [at]);
      }
    });
  }
});

void describe('a server', () => {
  void test('that stalls is given up, and gone on from later', async () => {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start((asked, index) => ({
      ...wellBehaved(V1, asked),
      ...(index === 0 && { holdAfter: HALF }),
    }));
    await assert.rejects(folder.fetch(server.url(), {}, { retryDelaysMs: [] }), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /sent nothing for too long/,
      metadata: { retryable: 'true' },
    });
    assert.deepEqual(await folder.names(), ['image.part', 'image.part.json']);
    await folder.fetch(server.url());
    await folder.assertHas(V1);
    assert.equal(server.asked[1]?.range, `bytes=${HALF}-`);
  });

  void test('that says nothing, or is not there, is given up', async () => {
    await using folder = await FetchFolder.make();
    const server = await MisbehavingServer.start(() => ({ isSilent: true }));
    const url = server.url();
    await assert.rejects(folder.fetch(url, {}, { retryDelaysMs: [] }), {
      message: /sent nothing for too long/,
    });
    await server[Symbol.asyncDispose]();
    await assert.rejects(folder.fetch(url), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /no connection could be made/,
      metadata: { retryable: 'true' },
    });
    await folder.assertEmpty();
  });

  void test('that refuses is quoted, without what is secret, and asked again only where that may help', async () => {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start(() => ({ status: 403, body: 'no' }));
    const error = await folder
      .fetch(server.url('/a?X-Amz-Signature=secret').replace('//', '//me:secret@'))
      .catch((thrown: AgentError) => thrown);
    assert.ok(error instanceof Error);
    assert.match(error.message, /\/a\?…: the server answered 403 Forbidden; look whether the URL/);
    assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /secret/);
    assert.equal(server.asked.length, 1);
    server.behaviour = (asked, index) => (index < 3 ? { status: 503 } : wellBehaved(V1, asked));
    await folder.fetch(server.url());
    await folder.assertHas(V1);
  });

  void test('whose content has another digest is told of with both', async () => {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start((asked) => wellBehaved(V1, asked));
    await assert.rejects(folder.fetch(server.url(), { digest: V2.digest }), {
      reason: 'IMAGE_DIGEST_MISMATCH',
      message: new RegExp(`is sha256:${V1.digest}, and not sha256:${V2.digest} as was asked for;`),
    });
    await folder.assertEmpty();
    assert.equal(server.asked.length, 1);
  });

  void test('that talks for ever before the content is given up', async () => {
    await using folder = await FetchFolder.make();
    const headers = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`x-${index}`, 'x'.repeat(20_000)]),
    );
    await using server = await MisbehavingServer.start(() => ({ headers, body: 'x' }));
    await assert.rejects(folder.fetch(server.url()), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /says too much before the content/,
    });
    await folder.assertEmpty();
  });

  void test('that has nothing in it gives nothing', async () => {
    for (const framing of ['length', 'chunks'] as const) {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(() => ({ framing }));
      const found = await folder.fetch(server.url());
      assert.ok(!found.isUnchanged);
      assert.deepEqual([found.bytes, found.digest], [0, EMPTY.digest]);
      await folder.assertHas(EMPTY);
    }
  });
});

void test('aborted it ends at once, and is gone on from later', async () => {
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked, index) => ({
    ...wellBehaved(V1, asked),
    ...(index === 0 && { holdAfter: HALF }),
  }));
  const abort = new AbortController();
  const fetching = folder.fetch(server.url(), {}, { signal: abort.signal, stallTimeoutMs: 60_000 });
  const outcome = assert.rejects(fetching, (error) => error === abort.signal.reason);
  await until('half is there', () => folder.progress.at(-1)?.bytes === HALF);
  const atMs = performance.now();
  abort.abort(new Error('Not needed any more'));
  await outcome;
  assert.ok(performance.now() - atMs < 2000);
  assert.deepEqual(await folder.names(), ['image.part', 'image.part.json']);
  await folder.fetch(server.url());
  await folder.assertHas(V1);
  assert.equal(server.asked[1]?.range, `bytes=${HALF}-`);
});

void test('of two at once for one path one is refused', async () => {
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked, index) => ({
    ...wellBehaved(V1, asked),
    ...(index === 0 && { holdAfter: HALF }),
  }));
  const options = { stallTimeoutMs: 60_000, retryDelaysMs: [] };
  const first = folder.fetch(server.url(), {}, options);
  await until('half is there', () => folder.progress.at(-1)?.bytes === HALF);
  await assert.rejects(folder.fetch(server.url(), {}, options), {
    reason: 'IMAGE_FETCH_FAILED',
    message: /is being fetched already/,
    metadata: { retryable: 'true' },
  });
  server.release();
  await first;
  await folder.assertHas(V1);
});

void test('what cannot be written is said to be so', async () => {
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked) => wellBehaved(V1, asked));
  const nowhere = path.join(folder.root, 'none', 'image');
  await assert.rejects(folder.fetch(server.url(), { path: nowhere }), {
    reason: 'IMAGE_FETCH_FAILED',
    message: /none\/image cannot be written: ENOENT/,
  });
});

void describe('a file of this node', () => {
  void test('is copied, and not once more as long as it is the same', async () => {
    await using folder = await FetchFolder.make();
    const source = path.join(folder.root, 'a source');
    for (const image of [V1, V2, EMPTY]) {
      await writeFile(source, image.content);
      const url = pathToFileURL(source).href;
      const found = await folder.fetch(url);
      assert.ok(!found.isUnchanged);
      assert.equal(found.digest, image.digest);
      assert.deepEqual(await folder.names(), ['a source', 'image']);
      assert.ok(image.content.equals(await readFile(folder.image)));
      const { version: knownVersion } = found;
      assert.deepEqual(await folder.fetch(url, { knownVersion }), { isUnchanged: true });
      const peeked = await new CurlFetcher(QUICK).peek({ url }, never);
      assert.equal(peeked.version, knownVersion);
      assert.equal(peeked.totalBytes, image.content.length);
      assert.ok(image.content.subarray(0, 64 * 1024).equals(peeked.start));
    }
  });

  void test('that is none, or is not there, is refused', async () => {
    await using folder = await FetchFolder.make();
    await symlink('/dev/zero', path.join(folder.root, 'zero'));
    for (const file of ['/dev/zero', folder.root, path.join(folder.root, 'zero')]) {
      await assert.rejects(folder.fetch(pathToFileURL(file).href), {
        reason: 'IMAGE_NOT_ALLOWED',
        message: /it is no plain file/,
      });
    }
    await assert.rejects(folder.fetch('file:///none/here'), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /cannot be looked at \(No such file or directory\)/,
    });
    await assert.rejects(folder.fetch('file://host/etc/passwd'), { reason: 'IMAGE_NOT_ALLOWED' });
  });
});

void describe('what is only looked at', () => {
  const START = V1.content.subarray(0, 64 * 1024);
  void test('is asked for as a range, and tells how much there is in all', async () => {
    await using server = await MisbehavingServer.start((asked) => wellBehaved(V1, asked));
    const { start, ...more } = await peekAt(server);
    assert.ok(START.equals(start));
    assert.deepEqual(more, { totalBytes: V1.content.length, version: 'etag:"1"' });
    assert.deepEqual(
      server.asked.map(({ method, range }) => [method, range]),
      [['GET', 'bytes=0-65535']],
    );
  });

  void test('is cut off where the server knows no ranges, refuses them, or sends chunks', async () => {
    const { headers } = V1;
    await using server = await MisbehavingServer.start(() => ({ headers, body: V1.content }));
    assert.ok(START.equals((await peekAt(server)).start));
    server.behaviour = ({ range }) =>
      range === undefined ? { headers, body: V1.content } : { status: 416 };
    assert.ok(START.equals((await peekAt(server)).start));
    server.behaviour = () => ({ body: V1.content, framing: 'chunks' });
    const { start, totalBytes } = await peekAt(server);
    assert.ok(START.equals(start));
    assert.equal(totalBytes, undefined);
    server.behaviour = (asked) => wellBehaved(EMPTY, asked);
    assert.deepEqual(await peekAt(server), {
      start: Buffer.alloc(0),
      totalBytes: 0,
      version: 'etag:"empty"',
    });
  });

  void test('is looked at again after a failure that passes, and not after others', async () => {
    await using server = await MisbehavingServer.start((asked, index) =>
      index === 0 ? { status: 502 } : wellBehaved(V1, asked),
    );
    assert.ok(START.equals((await peekAt(server)).start));
    server.behaviour = () => ({ status: 404 });
    await assert.rejects(peekAt(server), { reason: 'IMAGE_FETCH_FAILED', metadata: {} });
    assert.equal(server.asked.length, 3);
  });
});
