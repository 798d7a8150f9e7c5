import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Answer,
  type Asked,
  MisbehavingServer,
  wellBehaved,
} from '../../fixtures/images/misbehaving-server.ts';
import { FetchFolder, V1, V2 } from './fetch-fixture.ts';

const THIRD = Math.floor(V1.content.length * 0.3);
const HALF = Math.floor(V1.content.length / 2);

/** A good server's answer, that breaks off for the first request for it. */
function cutOnce(after: number, asked: Asked, index: number): Answer {
  return { ...wellBehaved(V1, asked), ...(index === 0 && { cutAfter: after }) };
}

for (const digest of [undefined, V1.digest]) {
  const given = digest === undefined ? 'without a digest' : 'with a digest';

  void describe(`the server's ways, ${given}`, () => {
    void test('a: one that answers GET only is asked nothing else', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start((asked) =>
        asked.method === 'GET' ? wellBehaved(V1, asked) : { status: 403 },
      );
      const found = await folder.fetch(server.url(), { digest });
      const bytes = V1.content.length;
      assert.deepEqual(found, {
        isUnchanged: false,
        bytes,
        digest: V1.digest,
        version: 'etag:"1"',
      });
      await folder.assertHas(V1);
      assert.equal(server.asked.length, 1);
      assert.ok(folder.progress.every(({ totalBytes }) => totalBytes === bytes));
      assert.equal(folder.progress.at(-1)?.bytes, bytes);
    });

    void test('b: chunks are whole, and nobody says how many there will be', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(() => ({
        body: V1.content,
        framing: 'chunks',
      }));
      const found = await folder.fetch(server.url(), { digest });
      assert.equal(found.isUnchanged, false);
      await folder.assertHas(V1);
      assert.ok(folder.progress.length > 0);
      assert.ok(folder.progress.every(({ totalBytes }) => totalBytes === undefined));
    });

    void test('c: one that ignores ranges is asked for all of it again', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start((_, index) => ({
        headers: V1.headers,
        body: V1.content,
        ...(index === 0 && { cutAfter: HALF }),
      }));
      await folder.fetch(server.url(), { digest });
      await folder.assertHas(V1);
      assert.deepEqual(
        server.asked.map(({ range }) => range !== undefined),
        [false, true, false],
      );
    });

    void test('d: one that promises ranges and refuses them is asked for all of it again', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(({ range }, index) =>
        range === undefined
          ? {
              headers: { ...V1.headers, 'accept-ranges': 'bytes' },
              body: V1.content,
              ...(index === 0 && { cutAfter: HALF }),
            }
          : { status: 416, body: 'no' },
      );
      await folder.fetch(server.url(), { digest });
      await folder.assertHas(V1);
      assert.equal(server.asked.length, 3);
    });

    void test('e: where one of the servers that it redirects to lacks it, another try finds the other', async () => {
      await using folder = await FetchFolder.make();
      let redirections = 0;
      await using server = await MisbehavingServer.start((asked) => {
        if (asked.url === '/good') return wellBehaved(V1, asked);
        if (asked.url === '/bad') return { status: 404, body: 'nothing here' };
        redirections += 1;
        const location = redirections % 2 === 1 ? '/bad' : '/good';
        return { status: 302, headers: { location }, body: 'it is elsewhere' };
      });
      await folder.fetch(server.url(), { digest });
      await folder.assertHas(V1);
    });

    void test('f: one that breaks off what has a length is asked for the rest', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start((asked, index) =>
        cutOnce(THIRD, asked, index),
      );
      await folder.fetch(server.url(), { digest });
      await folder.assertHas(V1);
      assert.equal(server.asked[1]?.range, `bytes=${THIRD}-`);
      assert.equal(server.asked[1]?.headers['if-range'], '"1"');
    });

    void test('f: one that always breaks off what has a length is no disk', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(() => ({
        body: V1.content,
        cutAfter: THIRD,
      }));
      await assert.rejects(folder.fetch(server.url(), { digest }), {
        reason: 'IMAGE_FETCH_FAILED',
        message: /ended the connection before all was sent; it may go better later/,
        metadata: { retryable: 'true' },
      });
      await folder.assertEmpty();
    });

    void test('g: two versions are never joined', async () => {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start((asked, index) => {
        if (index === 0) return { ...wellBehaved(V2, asked), cutAfter: HALF };
        return wellBehaved(V1, asked);
      });
      await folder.fetch(server.url(), { digest });
      await folder.assertHas(V1);
    });

    void test('g: also not where the server goes on with another version as if it were the same', async () => {
      for (const headers of [V1.headers, {}]) {
        await using folder = await FetchFolder.make();
        await using server = await MisbehavingServer.start((asked, index) => {
          if (index === 0) return { ...wellBehaved(V2, asked), cutAfter: HALF };
          // If-Range is not looked at.
          const { 'if-range': _, ...others } = asked.headers;
          return wellBehaved({ ...V1, headers }, { ...asked, headers: others });
        });
        await folder.fetch(server.url(), { digest });
        await folder.assertHas(V1);
      }
    });

    void test('h: the same address is asked whether its content is new', async () => {
      await using folder = await FetchFolder.make();
      const modified = 'Tue, 01 Dec 2026 00:00:00 GMT';
      for (const old of [V2.headers, { 'last-modified': modified }]) {
        await using server = await MisbehavingServer.start((asked) =>
          wellBehaved({ ...V2, headers: old }, asked),
        );
        const first = await folder.fetch(server.url());
        assert.ok(!first.isUnchanged);
        const { version: knownVersion } = first;
        assert.ok(knownVersion !== undefined);
        const again = await folder.fetch(server.url(), { knownVersion });
        assert.deepEqual(again, { isUnchanged: true });
        await folder.assertHas(V2);
        server.behaviour = (asked) => wellBehaved(V1, asked);
        const next = await folder.fetch(server.url(), { knownVersion, digest });
        assert.ok(!next.isUnchanged);
        assert.equal(next.digest, V1.digest);
        await folder.assertHas(V1);
      }
    });
  });
}

void test('a date names a version as a tag does', async () => {
  const headers = { 'last-modified': 'Wed, 01 Jan 2020 00:00:00 GMT' };
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked, index) => ({
    ...wellBehaved({ ...V1, headers }, asked),
    ...(index === 0 && { cutAfter: HALF }),
  }));
  await folder.fetch(server.url());
  await folder.assertHas(V1);
  assert.equal(server.asked[1]?.headers['if-range'], headers['last-modified']);
  assert.equal(server.asked[1]?.range, `bytes=${HALF}-`);
});

void describe('content that does not say where it ends', () => {
  void test('is refused without a digest, also if it is whole', async () => {
    for (const cutAfter of [THIRD, undefined]) {
      await using folder = await FetchFolder.make();
      await using server = await MisbehavingServer.start(() => ({
        body: V1.content,
        framing: 'none',
        cutAfter,
      }));
      await assert.rejects(folder.fetch(server.url()), {
        reason: 'IMAGE_FETCH_FAILED',
        message: /does not say how long it is, .*; give its digest, or use another server$/,
        metadata: {},
      });
      await folder.assertEmpty();
    }
  });

  void test('is taken where it has the digest, and asked for again where it has not', async () => {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start((_, index) => ({
      headers: V1.headers,
      body: V1.content,
      framing: 'none',
      ...(index === 0 && { cutAfter: THIRD }),
    }));
    await folder.fetch(server.url(), { digest: V1.digest });
    await folder.assertHas(V1);
    server.behaviour = () => ({ body: V1.content, framing: 'none', cutAfter: THIRD });
    await assert.rejects(folder.fetch(server.url(), { digest: V2.digest }), {
      reason: 'IMAGE_DIGEST_MISMATCH',
      message: /may have cut it off/,
    });
  });
});
