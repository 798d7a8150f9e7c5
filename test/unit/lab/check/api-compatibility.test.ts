import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { checkCompatibility } from '../../../../lab/check/api-compatibility.ts';
import { run } from '../../../../lab/core/run-command.ts';

const { signal } = new AbortController();

/** A checkout with an API of two fields, all of it committed. */
class Checkout implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<Checkout> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-api-'));
    const checkout = undo.use(new Checkout(folder));
    await mkdir(path.join(checkout.folder, 'proto'));
    await writeFile(
      path.join(checkout.folder, 'buf.yaml'),
      'version: v2\nmodules:\n  - path: proto\n',
    );
    await checkout.write('string name = 1;', 'string size = 2;');
    await checkout.git('init', '--quiet');
    await checkout.commit();
    undo.move();
    return checkout;
  }

  async write(...fields: string[]): Promise<void> {
    const text = `syntax = "proto3";\npackage a.v1;\nmessage A {\n${fields.join('\n')}\n}\n`;
    await writeFile(path.join(this.folder, 'proto/a.proto'), text);
  }

  async commit(): Promise<void> {
    await this.git('add', '.');
    const author = ['-c', 'user.name=test', '-c', 'user.email=test@example.org'];
    await this.git(...author, 'commit', '--quiet', '--message', 'State');
  }

  async git(...args: string[]): Promise<void> {
    await run(['git', ...args], { cwd: this.folder }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

test('before the first release there is nothing to compare with', async () => {
  await using checkout = await Checkout.create();
  await checkout.git('tag', 'other');
  const { code, detail } = await checkCompatibility(checkout.folder, signal);
  assert.deepEqual({ code, detail }, { code: 0, detail: 'no release tag yet' });
});

test('a field that the last release had must stay', async () => {
  await using checkout = await Checkout.create();
  await checkout.git('tag', 'v0.1.0');
  await checkout.write('string name = 1;', 'string size = 2;', 'string more = 3;');
  const added = await checkCompatibility(checkout.folder, signal);
  assert.equal(added.code, 0, added.stdout + added.stderr);
  assert.equal(added.detail, 'compared with v0.1.0');
  await checkout.write('string name = 1;');
  const removed = await checkCompatibility(checkout.folder, signal);
  assert.notEqual(removed.code, 0);
  assert.match(removed.stdout, /field "2" with name "size" on message "A" was deleted/);
});

test('the newest release counts, by version and not by letters', async () => {
  await using checkout = await Checkout.create();
  await checkout.git('tag', 'v0.9.0');
  await checkout.write('string name = 1;');
  await checkout.commit();
  await checkout.git('tag', 'v0.10.0');
  const { code, detail } = await checkCompatibility(checkout.folder, signal);
  assert.deepEqual({ code, detail }, { code: 0, detail: 'compared with v0.10.0' });
});
