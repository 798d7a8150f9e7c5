import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { appendFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { FetchFolder } from './fetch-fixture.ts';

const PROGRAM = path.join(import.meta.dirname, '../../../dist/agent/novacron-digest');

class Digest extends OwnedProcess {
  static of(file: string): Digest {
    return new Digest(spawn(PROGRAM, [file], { stdio: 'pipe' }));
  }

  async untilRead(bytes: number): Promise<void> {
    while ((await this.nextLine()) !== String(bytes));
  }

  async lastLine(): Promise<string | undefined> {
    this.child.stdin?.end();
    return (await this.remainingLines()).at(-1);
  }
}

function lineOf(content: Buffer): string {
  return `${content.length} ${createHash('sha256').update(content).digest('hex')}`;
}

test('a file that is there is read whole', async () => {
  await using folder = await FetchFolder.make();
  for (const bytes of [0, 1, 3_000_001]) {
    const content = randomBytes(bytes);
    await writeFile(folder.image, content);
    const said = execFileSync(PROGRAM, [folder.image], { input: '' }).toString();
    assert.equal(said.trimEnd().split('\n').at(-1), lineOf(content));
  }
});

test('a file that grows is followed, and what came last is read as well', async () => {
  await using folder = await FetchFolder.make();
  const parts = [randomBytes(100_000), randomBytes(300_000), randomBytes(50)];
  const [first = Buffer.alloc(0), second = Buffer.alloc(0), third = Buffer.alloc(0)] = parts;
  await writeFile(folder.image, first);
  await using digest = Digest.of(folder.image);
  await digest.untilRead(100_000);
  await appendFile(folder.image, second);
  await digest.untilRead(400_000);
  await appendFile(folder.image, third);
  assert.equal(await digest.lastLine(), lineOf(Buffer.concat(parts)));
  assert.deepEqual(await digest.exited, [0, null]);
});

test('a file that shrinks is refused', async () => {
  await using folder = await FetchFolder.make();
  await writeFile(folder.image, randomBytes(1000));
  await using digest = Digest.of(folder.image);
  await digest.untilRead(1000);
  await truncate(folder.image, 999);
  assert.ok(digest.child.stderr);
  const complaint = await text(digest.child.stderr);
  assert.equal(complaint, 'the file has shrunk from 1000 bytes to 999\n');
  assert.deepEqual(await digest.exited, [3, null]);
});

test('without a file it says why', async () => {
  await using folder = await FetchFolder.make();
  await using digest = Digest.of(folder.image);
  assert.deepEqual(await digest.exited, [1, null]);
});
