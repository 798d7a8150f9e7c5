import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { CurlFetcher } from '../../src/drivers/fetch/curl-fetcher.ts';
import type { ImageCredentials } from '../../src/drivers/image-fetcher.ts';
import { FetchFolder, imageOf, QUICK, V1 } from '../drivers/images/fetch-fixture.ts';
import { MisbehavingServer, wellBehaved } from '../fixtures/images/misbehaving-server.ts';
import { digestOf } from '../fixtures/images/oci-content.ts';
import { S3Server } from '../fixtures/images/s3-server.ts';

const never = new AbortController().signal;
const CONTENT = randomBytes(300_000);
const DIGEST = digestOf(CONTENT).slice('sha256:'.length);
const REGION = 'eu-central-1';
const SOURCE = 's3://private/images/disk.qcow2';

void describe('S3', () => {
  let strict: S3Server;
  let open: S3Server;
  let options: { readonly s3: { readonly endpoint: string; readonly region: string } };
  let credentials: ImageCredentials;

  before(async () => {
    [strict, open] = await Promise.all([
      S3Server.start(CONTENT, { isStrict: true }, never),
      S3Server.start(CONTENT, {}, never),
    ]);
    options = { s3: { endpoint: strict.endpoint, region: REGION } };
    credentials = { kind: 'password', user: strict.user, password: strict.password };
  });
  after(async () => {
    await strict[Symbol.asyncDispose]();
    await open[Symbol.asyncDispose]();
  });

  for (const key of ['images/disk.qcow2', 'odd_name/a+b(1)~é&=.img']) {
    void test(`gives ${key} to who has signed for it`, async () => {
      await using folder = await FetchFolder.make();
      const url = `s3://private/${key}`;
      const fetcher = new CurlFetcher({ ...QUICK, ...options });
      const peeked = await fetcher.peek({ url, credentials }, never);
      assert.equal(peeked.totalBytes, CONTENT.length);
      const fetched = await folder.fetch(url, { credentials }, options);
      assert.ok(!fetched.isUnchanged);
      assert.equal(fetched.digest, DIGEST);
      assert.deepEqual(await folder.names(), ['image']);
      const knownVersion = fetched.version;
      assert.match(knownVersion ?? '', /^etag:"/);
      const again = await folder.fetch(url, { credentials, knownVersion }, options);
      assert.deepEqual(again, { isUnchanged: true });
    });
  }

  void test('is not told a secret that is wrong in any message', async () => {
    await using folder = await FetchFolder.make();
    const password = 'wrong-and-secret';
    const wrong = { kind: 'password', user: strict.user, password } as const;
    await assert.rejects(folder.fetch(SOURCE, { credentials: wrong }, options), (error: Error) => {
      assert.match(error.message, /answered 403.*look whether the secret that auth names is right/);
      assert.ok(!error.message.includes(password));
      return true;
    });
    await folder.assertEmpty();
  });

  void test('gives what everybody may read without a name, and nothing else', async () => {
    await using folder = await FetchFolder.make();
    const s3 = { endpoint: open.endpoint, region: REGION };
    const fetched = await folder.fetch('s3://public/images/disk.qcow2', {}, { s3 });
    assert.equal(!fetched.isUnchanged && fetched.digest, DIGEST);
    await using other = await FetchFolder.make();
    await assert.rejects(other.fetch(SOURCE, {}, { s3 }), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /answered 403.*name a secret in auth that may read it/,
    });
    await assert.rejects(other.fetch('s3://nobodys/images/disk.qcow2', {}, { s3 }), {
      reason: 'IMAGE_FETCH_FAILED',
      message: /Cannot fetch s3:\/\/nobodys\/images\/disk\.qcow2: .*answered 404.*bucket and key/,
    });
    await other.assertEmpty();
  });

  void test('takes no token', async () => {
    await using folder = await FetchFolder.make();
    const token = { kind: 'token', token: 'abc' } as const;
    await assert.rejects(folder.fetch(SOURCE, { credentials: token }, options), {
      reason: 'IMAGE_NOT_ALLOWED',
      message: /must be ACCESS-KEY-ID:SECRET-ACCESS-KEY/,
    });
  });

  void test('goes on where it was, and signs for that too', async () => {
    await using folder = await FetchFolder.make();
    let cuts = 0;
    await using server = await MisbehavingServer.start((asked) => ({
      ...wellBehaved(V1, asked),
      cutAfter: cuts++ === 0 ? 100_000 : undefined,
    }));
    const s3 = { endpoint: server.url(''), region: REGION };
    const fetched = await folder.fetch(SOURCE, { credentials }, { s3 });
    assert.equal(!fetched.isUnchanged && fetched.digest, V1.digest);
    assert.deepEqual(
      server.asked.map(({ url, range }) => [url, range]),
      [
        ['/private/images/disk.qcow2', undefined],
        ['/private/images/disk.qcow2', 'bytes=100000-'],
      ],
    );
    for (const { headers } of server.asked) {
      assert.match(headers.authorization ?? '', /^AWS4-HMAC-SHA256 Credential=AKIA/);
    }
  });

  void test('that redirects is followed without what was signed', async () => {
    await using folder = await FetchFolder.make();
    const image = imageOf(CONTENT, { etag: '"1"' });
    await using elsewhere = await MisbehavingServer.start(
      (asked) => wellBehaved(image, asked),
      '127.0.0.7',
    );
    await using server = await MisbehavingServer.start(({ url }) => ({
      status: 307,
      headers: { location: elsewhere.url(url) },
    }));
    const s3 = { endpoint: server.url(''), region: REGION };
    await folder.fetch(SOURCE, { credentials }, { s3 });
    assert.equal(elsewhere.asked[0]?.headers.authorization, undefined);
  });
});
