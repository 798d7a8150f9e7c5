import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ImageInspector, ImageQuery } from '../../src/drivers/images.ts';

export interface ImagesFixture extends AsyncDisposable {
  readonly images: ImageInspector;
  /** Makes an image and gives back its path. */
  create(format: 'raw' | 'qcow2'): Promise<string>;
  /** A path with nothing there. */
  readonly missing: string;
  /** A path of something that is no image, such as a folder. */
  readonly other: string;
}

function queryOf(path: string, format: 'raw' | 'qcow2'): ImageQuery {
  return { path, kind: 'file', format, isReadOnly: false, user: undefined };
}

const never = new AbortController().signal;

/** What every ImageInspector promises. */
export function testImages(
  name: string,
  make: () => Promise<ImagesFixture>,
  skip: string | false = false,
): void {
  void describe(name, { skip }, () => {
    for (const format of ['raw', 'qcow2'] as const) {
      void test(`tells a ${format} image`, async () => {
        await using fixture = await make();
        const path = await fixture.create(format);
        const { fileId, ...found } =
          (await fixture.images.find(queryOf(path, format), never)) ?? {};
        assert.deepEqual(found, {
          kind: 'file',
          format,
          problem: undefined,
          behind: [],
          holders: [],
        });
        assert.ok(fileId);
        const second = format === 'raw' ? 'qcow2' : 'raw';
        const query = queryOf(await fixture.create(second), second);
        const other = await fixture.images.find(query, never);
        assert.notEqual(other?.fileId, fileId);
        const asKernel = await fixture.images.findBootFile(path, undefined, never);
        assert.deepEqual([asKernel?.kind, asKernel?.problem], ['file', undefined]);
      });
    }

    void test('measures images, and nothing else', async () => {
      await using fixture = await make();
      const { images } = fixture;
      for (const format of ['raw', 'qcow2'] as const) {
        const path = await fixture.create(format);
        const { virtualBytes = 0, allocatedBytes = -1 } =
          (await images.measure({ path, format }, never)) ?? {};
        assert.ok(virtualBytes > 0 && allocatedBytes >= 0);
        for (const other of [fixture.missing, fixture.other]) {
          assert.equal(await images.measure({ path: other, format }, never), undefined);
        }
      }
    });

    void test('takes an image for raw that is to be raw, whatever its guest has written', async () => {
      await using fixture = await make();
      const path = await fixture.create('qcow2');
      const found = await fixture.images.find(queryOf(path, 'raw'), never);
      assert.deepEqual([found?.format, found?.problem], ['raw', undefined]);
      assert.equal(found?.content, undefined);
    });

    void test('tells what is in an image that is to be raw only to whoever asks', async () => {
      await using fixture = await make();
      for (const content of ['raw', 'qcow2'] as const) {
        const query = queryOf(await fixture.create(content), 'raw');
        const found = await fixture.images.find({ ...query, tellsContent: true }, never);
        assert.deepEqual(
          [found?.format, found?.problem, found?.content],
          ['raw', undefined, content],
        );
      }
    });

    void test('finds nothing where nothing is', async () => {
      await using fixture = await make();
      assert.equal(await fixture.images.find(queryOf(fixture.missing, 'qcow2'), never), undefined);
      assert.equal(await fixture.images.findBootFile(fixture.missing, undefined, never), undefined);
    });

    void test('lists which of many paths lead to nothing', async () => {
      await using fixture = await make();
      const { images, missing } = fixture;
      const there = await fixture.create('raw');
      assert.deepEqual(await images.listMissing([there, missing, there], never), [missing]);
      assert.deepEqual(await images.listMissing([], never), []);
    });

    void test('has a problem with what is no image', async () => {
      await using fixture = await make();
      const { images, other } = fixture;
      assert.ok((await images.find(queryOf(other, 'raw'), never))?.problem);
      const asKernel = await images.findBootFile(other, undefined, never);
      assert.equal(asKernel?.kind, 'other');
      assert.equal(asKernel.problem?.reason, 'IMAGE_INVALID');
    });

    void test('fails with the reason of an aborted signal', async () => {
      await using fixture = await make();
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      const { images, missing } = fixture;
      await assert.rejects(images.find(queryOf(missing, 'raw'), aborted), reason);
      await assert.rejects(images.findBootFile(missing, undefined, aborted), reason);
    });
  });
}
