import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { newProbeMark } from '../../src/core/probe-mark.ts';
import type {
  DiskProbe,
  ImagePlace,
  MarkedImage,
  MarkedPlace,
  OpenPlace,
} from '../../src/drivers/disk-probe.ts';

/** Two nodes with a probe each. */
export interface DiskProbeFixture extends AsyncDisposable {
  readonly here: DiskProbe;
  readonly there: DiskProbe;
  /** A file of both, of 1 MiB to a guest: where each finds it. */
  shared(format: 'raw' | 'qcow2'): Promise<readonly [here: ImagePlace, there: ImagePlace]>;
  /** Two files, as equal as they can be. */
  separate(): Promise<readonly [here: ImagePlace, there: ImagePlace]>;
  /** A file of both nodes that a VM of `here` has open. */
  opened(): Promise<Opened>;
  /** Marks that are there now. */
  countMarks(): Promise<number>;
  readonly missing: string;
  /** What VMs of neither node may have. */
  outside(): Promise<Outside>;
}

interface Opened {
  readonly place: OpenPlace;
  /** Puts another file under its path, or none. */
  readonly replace: (by: 'another' | 'nothing') => Promise<void>;
}

interface Outside {
  readonly there: readonly ImagePlace[];
  /** Each like one that is there. */
  readonly missing: readonly ImagePlace[];
  readonly countMarks: () => Promise<number>;
}

const NOBODY = '3f0c3a8e-6d7b-4c55-9a3e-0f5f0d1f7a11';
const never = new AbortController().signal;

/** What every DiskProbe promises. */
export function testDiskProbe(name: string, make: () => Promise<DiskProbeFixture>): void {
  void describe(name, () => {
    for (const format of ['raw', 'qcow2'] as const) {
      void test(`a ${format} file of both nodes is seen with its mark`, async () => {
        await using fixture = await make();
        const [here, there] = await fixture.shared(format);
        await using marked = await fixture.here.mark([here], never);
        const [image] = marked.images;
        assert.ok(image?.kind === 'file');
        const { mark, ...facts } = image;
        assert.deepEqual(
          { format: facts.format, size: facts.sizeBytes },
          { format, size: 2 ** 20 },
        );
        assert.deepEqual(await fixture.there.look([{ ...there, mark }], never), [facts]);
      });
    }

    for (const by of ['another', 'nothing'] as const) {
      void test(`a file is told from the one that its VM has open, with ${by} in its place`, async () => {
        await using fixture = await make();
        const { place, replace } = await fixture.opened();
        await using before = await fixture.here.mark([place], never);
        assert.equal(before.images[0]?.kind, 'file');
        await replace(by);
        await using after = await fixture.here.mark([place], never);
        assert.deepEqual(after.images, [{ kind: 'replaced' }]);
      });
    }

    void test('of a VM that nobody can see the file under the path is told', async () => {
      await using fixture = await make();
      const [here] = await fixture.shared('raw');
      await using marked = await fixture.here.mark([{ ...here, vmUid: NOBODY }], never);
      assert.equal(marked.images[0]?.kind, 'file');
    });

    void test('of a file without the mark it is only told that it is there', async () => {
      await using fixture = await make();
      const [here, there] = await fixture.separate();
      await using marked = await fixture.here.mark([here], never);
      const places = marksOf(marked.images, [there]);
      assert.deepEqual(await fixture.there.look(places, never), [{ kind: 'other' }]);
      const guessed = { ...there, mark: newProbeMark() };
      assert.deepEqual(await fixture.there.look([guessed], never), [{ kind: 'other' }]);
    });

    void test('each image is answered for in its place', async () => {
      await using fixture = await make();
      const [one, other] = [await fixture.shared('raw'), await fixture.separate()];
      const gone = { kind: 'file', path: fixture.missing, format: 'raw' } as const;
      await using marked = await fixture.here.mark([other[0], gone, one[0]], never);
      assert.deepEqual(
        marked.images.map(({ kind }) => kind),
        ['file', 'unknown', 'file'],
      );
      const places = marksOf(marked.images, [other[1], { ...gone }, one[1]]);
      const found = await fixture.there.look(places, never);
      assert.deepEqual(
        found.map(({ kind }) => kind),
        ['other', 'missing', 'file'],
      );
    });

    void test('what VMs may not have is not marked, and nobody is told whether it is there', async () => {
      await using fixture = await make();
      const { there, missing, countMarks } = await fixture.outside();
      await using marked = await fixture.here.mark([...there, ...missing], never);
      assert.ok(marked.images.every(({ kind }) => kind === 'unknown'));
      assert.equal(await countMarks(), 0);
      const found = await fixture.there.look(marksOf([], [...there, ...missing]), never);
      const kinds = new Set(found.map(({ kind }) => kind));
      assert.deepEqual([...kinds], ['refused']);
      const problems = (from: number, count: number) =>
        found.slice(from, count).map((one) => 'problem' in one && sameName(one.problem));
      assert.deepEqual(
        problems(0, there.length),
        problems(there.length, there.length + missing.length),
      );
    });

    void test('no mark is left', async () => {
      await using fixture = await make();
      const [here] = await fixture.shared('raw');
      const marked = await fixture.here.mark([here, here], never);
      assert.ok((await fixture.countMarks()) > 0);
      await marked[Symbol.asyncDispose]();
      await marked[Symbol.asyncDispose]();
      assert.equal(await fixture.countMarks(), 0);
    });

    void test('fails with the reason of an aborted signal', async () => {
      await using fixture = await make();
      const [here] = await fixture.shared('raw');
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await assert.rejects(fixture.here.mark([here], aborted), reason);
      await assert.rejects(
        fixture.there.look([{ ...here, mark: newProbeMark() }], aborted),
        reason,
      );
    });
  });
}

function marksOf(
  images: readonly MarkedImage[],
  places: readonly ImagePlace[],
): readonly MarkedPlace[] {
  return places.map((place, index) => {
    const image = images[index];
    return { ...place, mark: image?.kind === 'file' ? image.mark : newProbeMark() };
  });
}

/** A link is told by what it leads to, which the test's own are named for. */
function sameName(problem: string): string {
  return problem.replace(/\/(missing|disk),/, '/NAME,');
}
