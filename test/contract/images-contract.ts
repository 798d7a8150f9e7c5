import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ImageInspector } from '../../src/drivers/images.ts';

export interface ImagesFixture extends AsyncDisposable {
  readonly images: ImageInspector;
  /** Makes an image of 1 MiB and gives back its path. */
  create(format: 'raw' | 'qcow2'): Promise<string>;
  /** A path with nothing there. */
  readonly missing: string;
  /** A path of something that is no image, such as a folder. */
  readonly other: string;
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
      void test(`tells a ${format} image and its size`, async () => {
        await using fixture = await make();
        const path = await fixture.create(format);
        assert.deepEqual(await fixture.images.find(path, never), {
          kind: 'file',
          format,
          virtualSizeBytes: 2 ** 20,
          problem: undefined,
        });
        assert.equal(await fixture.images.findKind(path, never), 'file');
      });
    }

    void test('finds nothing where nothing is', async () => {
      await using fixture = await make();
      assert.equal(await fixture.images.find(fixture.missing, never), undefined);
      assert.equal(await fixture.images.findKind(fixture.missing, never), undefined);
    });

    void test('has a problem with what is no image', async () => {
      await using fixture = await make();
      assert.equal(await fixture.images.findKind(fixture.other, never), 'other');
      assert.ok((await fixture.images.find(fixture.other, never))?.problem);
    });

    void test('fails with the reason of an aborted signal', async () => {
      await using fixture = await make();
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await assert.rejects(fixture.images.find(fixture.missing, aborted), reason);
      await assert.rejects(fixture.images.findKind(fixture.missing, aborted), reason);
    });
  });
}
