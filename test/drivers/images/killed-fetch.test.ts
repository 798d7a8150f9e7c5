import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import {
  type Answer,
  type Asked,
  MisbehavingServer,
  wellBehaved,
} from '../../fixtures/images/misbehaving-server.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { until } from '../../fixtures/until.ts';
import { FetchFolder, type Image, V1, V2 } from './fetch-fixture.ts';

const HALF = Math.floor(V1.content.length / 2);
const PROGRAM = path.join(import.meta.dirname, 'fetching-process.ts');

/** Whether any process has the path among its arguments. */
async function isUsed(file: string): Promise<boolean> {
  for (const name of await readdir('/proc')) {
    const words = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (/^\d+$/.test(name) && words.includes(file)) return true;
  }
  return false;
}

interface Case {
  readonly name: string;
  readonly second: (asked: Asked) => Answer;
  readonly image: Image;
  /** What the second process asks for, in this order. */
  readonly ranges: readonly (string | undefined)[];
}

const CASES: readonly Case[] = [
  {
    name: 'goes on from there',
    second: (asked) => wellBehaved(V1, asked),
    image: V1,
    ranges: [`bytes=${HALF}-`],
  },
  {
    name: 'begins again where the server ignores ranges',
    second: () => ({ headers: V1.headers, body: V1.content }),
    image: V1,
    ranges: [`bytes=${HALF}-`, undefined],
  },
  {
    name: 'begins again where there is another version by now',
    second: (asked) => wellBehaved(V2, asked),
    image: V2,
    ranges: [`bytes=${HALF}-`, undefined],
  },
];

for (const hasDigest of [false, true]) {
  void describe(`killed by -9 at half, ${hasDigest ? 'with' : 'without'} a digest, its successor`, () => {
    for (const { name, second, image, ranges } of CASES) {
      void test(name, async () => {
        await using folder = await FetchFolder.make();
        await using server = await MisbehavingServer.start((asked) => ({
          ...wellBehaved(V1, asked),
          holdAfter: HALF,
        }));
        const digest = hasDigest ? image.digest : undefined;
        const words = [PROGRAM, server.url(), folder.image, ...(hasDigest ? [image.digest] : [])];
        await using first = new OwnedProcess(spawn(process.execPath, words));
        while (Number(await first.nextLine()) < HALF);
        await first.kill();
        server.behaviour = second;
        await folder.fetch(server.url(), { digest });
        await folder.assertHas(image);
        assert.deepEqual(
          server.asked.slice(1).map(({ range }) => range),
          ranges,
        );
        await until('nothing of it is left', async () => !(await isUsed(folder.root)));
      });
    }
  });
}

void test('what was written before the node went down is gone on from with a digest only', async () => {
  for (const digest of [undefined, V1.digest]) {
    await using folder = await FetchFolder.make();
    await using server = await MisbehavingServer.start((asked, index) => ({
      ...wellBehaved(V1, asked),
      ...(index === 0 && { cutAfter: HALF }),
    }));
    await assert.rejects(folder.fetch(server.url(), { digest }, { retryDelaysMs: [] }));
    await folder.changeRecord({ bootId: 'another' });
    await folder.fetch(server.url(), { digest });
    await folder.assertHas(V1);
    assert.equal(server.asked[1]?.range, digest && `bytes=${HALF}-`);
  }
});

void test('a part that has been damaged is found by its digest, and thrown away', async () => {
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked, index) =>
    index === 0
      ? { headers: V1.headers, body: V2.content, cutAfter: HALF }
      : wellBehaved(V1, asked),
  );
  await folder.fetch(server.url(), { digest: V1.digest });
  await folder.assertHas(V1);
  assert.deepEqual(
    server.asked.map(({ range }) => range),
    [undefined, `bytes=${HALF}-`, undefined],
  );
});

void test('a part that is whole already costs next to nothing', async () => {
  await using folder = await FetchFolder.make();
  const { length } = V1.content;
  await using server = await MisbehavingServer.start((asked) => ({
    ...wellBehaved(V1, asked),
    cutAfter: length - 1,
  }));
  await assert.rejects(folder.fetch(server.url(), {}, { retryDelaysMs: [] }));
  await folder.addToPart(V1.content.subarray(length - 1));
  server.behaviour = (asked) => wellBehaved(V1, asked);
  await folder.fetch(server.url());
  await folder.assertHas(V1);
  assert.equal(server.asked[1]?.range, `bytes=${length - 1}-`);
});

void test('what an answer nobody had looked at has left is thrown away', async () => {
  await using folder = await FetchFolder.make();
  await using server = await MisbehavingServer.start((asked) => ({
    ...wellBehaved(V1, asked),
    cutAfter: HALF,
  }));
  await assert.rejects(folder.fetch(server.url(), {}, { retryDelaysMs: [] }));
  await folder.changeRecord({ goodBytes: HALF });
  await folder.addToPart(V2.content.subarray(HALF, HALF + 1000));
  server.behaviour = (asked) => wellBehaved(V1, asked);
  await folder.fetch(server.url());
  await folder.assertHas(V1);
  assert.equal(server.asked[1]?.range, `bytes=${HALF}-`);
});
