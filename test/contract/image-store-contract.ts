import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import type {
  AdmitRequest,
  ImageOrigin,
  ImageStore,
  StoredImage,
} from '../../src/drivers/image-store.ts';

export interface ImageStoreFixture extends AsyncDisposable {
  readonly store: ImageStore;
  /** Puts a file below what `prepare` answers. */
  fetch(path: string, content: Buffer): Promise<void>;
  isThere(path: string): Promise<boolean>;
  /** Makes a disk that stands on an image, and answers its path. */
  stand(image: StoredImage): Promise<string>;
  removeDisk(path: string): Promise<void>;
  /** Changes a byte of an image. */
  damage(path: string): Promise<void>;
}

const never = new AbortController().signal;

/** What is seen to be an image by a few bytes: an ISO of `seed`. */
function isoOf(seed: string): Buffer {
  const content = Buffer.alloc(40 * 1024);
  content.write(seed);
  content.write('CD001', 32_769);
  return content;
}

function originOf(url: string, checkedAtMs = 1): ImageOrigin {
  return { url, version: '"v1"', fetchedAtMs: 1, checkedAtMs };
}

async function fetched(
  fixture: ImageStoreFixture,
  content: Buffer,
  changes: Partial<AdmitRequest> = {},
): Promise<AdmitRequest> {
  const digest = createHash('sha256').update(content).digest('hex');
  const path = `${await fixture.store.prepare(never)}/${digest.slice(0, 8)}.part`;
  await fixture.fetch(path, content);
  return {
    path,
    digest,
    format: undefined,
    owner: undefined,
    maxBytes: 2 ** 30,
    origin: originOf('https://example.org/a.iso'),
    ...changes,
  };
}

/** What everybody who keeps images promises. */
export function testImageStore(name: string, make: () => Promise<ImageStoreFixture>): void {
  void describe(name, () => {
    void test('keeps what was fetched under its digest', async () => {
      await using fixture = await make();
      const { store } = fixture;
      assert.deepEqual(await store.list(never), []);
      const request = await fetched(fixture, isoOf('a'));
      const image = await store.admit(request, never);
      assert.equal(await fixture.isThere(request.path), false);
      assert.equal(await fixture.isThere(image.path), true);
      const { path: _, diskBytes: __, ...known } = image;
      assert.deepEqual(known, {
        digest: request.digest,
        format: 'raw',
        virtualBytes: 40_960,
        contentBytes: 40_960,
        origins: [request.origin],
        lastUsedAtMs: 1,
        usedBy: [],
      });
      assert.deepEqual(await store.list(never), [image]);
    });

    void test('keeps one that is there, and where else it was found', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const first = await store.admit(await fetched(fixture, isoOf('a')), never);
      const origin = originOf('https://example.com/b.iso');
      const again = await fetched(fixture, isoOf('a'), { origin });
      const image = await store.admit(again, never);
      assert.deepEqual(image, { ...first, origins: [...first.origins, origin] });
      assert.equal(await fixture.isThere(again.path), false);
    });

    void test('lists images by their digests', async () => {
      await using fixture = await make();
      const { store } = fixture;
      for (const seed of ['a', 'b', 'c']) {
        await store.admit(await fetched(fixture, isoOf(seed)), never);
      }
      const digests = (await store.list(never)).map(({ digest }) => digest);
      assert.equal(digests.length, 3);
      assert.deepEqual(digests, digests.toSorted());
    });

    void test('refuses what is no image, and removes it; takes it as raw where that is asked for', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const request = await fetched(fixture, Buffer.alloc(1000, 'x'));
      const message =
        'Cannot use the image https://example.org/a.iso: it is neither a disk image nor anything else that is known here; say format: raw if it is to be taken as it is';
      await assert.rejects(store.admit(request, never), { reason: 'IMAGE_INVALID', message });
      assert.equal(await fixture.isThere(request.path), false);
      assert.deepEqual(await store.list(never), []);
      const raw = await fetched(fixture, Buffer.alloc(1000, 'x'), { format: 'raw' });
      const { format, virtualBytes, contentBytes } = await store.admit(raw, never);
      assert.deepEqual([format, virtualBytes, contentBytes], ['raw', 1024, 1000]);
      // Though it is there.
      const again = await fetched(fixture, Buffer.alloc(1000, 'x'));
      await assert.rejects(store.admit(again, never), { reason: 'IMAGE_INVALID', message });
      assert.equal((await store.list(never)).length, 1);
    });

    void test('refuses what is larger than may be', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const request = await fetched(fixture, isoOf('a'), { maxBytes: 40_959 });
      await assert.rejects(store.admit(request, never), { reason: 'IMAGE_INVALID' });
      assert.equal(await fixture.isThere(request.path), false);
    });

    void test('notes where an image was found and that it was used', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const { digest } = await store.admit(await fetched(fixture, isoOf('a')), never);
      const origin = originOf('https://example.org/a.iso', 7);
      await store.note(digest, { origin }, never);
      await store.note(digest, { usedAtMs: 9 }, never);
      await store.note(digest, { usedAtMs: 8 }, never);
      await store.note('0'.repeat(64), { usedAtMs: 8 }, never);
      const [image] = await store.list(never);
      assert.deepEqual([image?.origins, image?.lastUsedAtMs], [[origin], 9]);
    });

    void test('removes no image while a disk stands on it', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const image = await store.admit(await fetched(fixture, isoOf('a')), never);
      const disk = await fixture.stand(image);
      assert.deepEqual((await store.list(never))[0]?.usedBy, [disk]);
      await assert.rejects(store.remove(image.digest, never), (error: Error) => {
        assert.equal('reason' in error && error.reason, 'IMAGE_IN_USE');
        assert.ok(error.message.includes(disk));
        return true;
      });
      assert.equal(await fixture.isThere(image.path), true);
      await fixture.removeDisk(disk);
      await store.remove(image.digest, never);
      await store.remove(image.digest, never);
      assert.deepEqual(await store.list(never), []);
      assert.equal(await fixture.isThere(image.path), false);
    });

    void test('tells whether an image is still what it was', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const { digest, path } = await store.admit(await fetched(fixture, isoOf('a')), never);
      assert.deepEqual(await store.verify(digest, never), { isWhole: true });
      await fixture.damage(path);
      const verdict = await store.verify(digest, never);
      assert.equal(verdict.isWhole, false);
      await assert.rejects(store.verify('0'.repeat(64), never), { reason: 'IMAGE_NOT_FOUND' });
    });

    void test('tidies away what was left, but not what is wanted', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const image = await store.admit(await fetched(fixture, isoOf('a')), never);
      const left = await fetched(fixture, isoOf('b'));
      const wanted = await fetched(fixture, isoOf('c'));
      await store.tidy([wanted.path], never);
      assert.equal(await fixture.isThere(left.path), false);
      assert.equal(await fixture.isThere(wanted.path), true);
      assert.deepEqual(await store.list(never), [image]);
    });

    void test('says what parts take that are named, and removes one that is', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const folder = await store.prepare(never);
      for (const name of ['ab.part', 'ab.part.json', 'cd.part', 'abc.part']) {
        await fixture.fetch(`${folder}/${name}`, isoOf(name));
      }
      const parts = await store.listParts(['ab', 'ef', 'cd'], never);
      assert.deepEqual(
        parts.map(({ name, diskBytes }) => [name, diskBytes > 0]),
        [
          ['ab', true],
          ['cd', true],
        ],
      );
      await store.discardPart('ab', never);
      await store.discardPart('ab', never);
      assert.deepEqual(await store.listParts(['ab'], never), []);
      assert.equal(await fixture.isThere(`${folder}/cd.part`), true);
      assert.equal(await fixture.isThere(`${folder}/abc.part`), true);
    });

    void test('fails with the reason of an aborted signal, and keeps nothing', async () => {
      await using fixture = await make();
      const { store } = fixture;
      const reason = new Error('enough');
      const request = await fetched(fixture, isoOf('a'));
      await assert.rejects(store.admit(request, AbortSignal.abort(reason)), reason);
      await assert.rejects(store.list(AbortSignal.abort(reason)), reason);
      assert.deepEqual(await store.list(never), []);
    });
  });
}
