import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, open, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { QemuImgInspector } from '../../../src/drivers/images/qemu-img-inspector.ts';
import { testImages } from '../../contract/images-contract.ts';

const skip = spawnSync('qemu-img', ['--version']).status === 0 ? false : 'needs qemu-img';
const never = new AbortController().signal;

/** A folder for images and a second one beside it, where no image may lead. */
class Folder implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<Folder> {
    const root = await mkdtemp(path.join(tmpdir(), 'novacron-images-'));
    await mkdir(path.join(root, 'own'));
    await mkdir(path.join(root, 'foreign'));
    return new Folder(root);
  }

  own(name: string): string {
    return path.join(this.root, 'own', name);
  }

  foreign(name: string): string {
    return path.join(this.root, 'foreign', name);
  }

  create(image: string, ...options: readonly string[]): string {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image, '1M']);
    return image;
  }

  async raw(image: string): Promise<string> {
    await writeFile(image, '');
    await truncate(image, 2 ** 20);
    return image;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}

async function problemOf(image: string, ...backingFolders: readonly string[]): Promise<string> {
  const found = await new QemuImgInspector({ backingFolders }).find(image, never);
  assert.ok(found);
  return found.problem ?? '';
}

testImages(
  'qemu-img',
  async () => {
    const folder = await Folder.make();
    return {
      images: new QemuImgInspector(),
      create: async (format) =>
        format === 'raw' ? folder.raw(folder.own('a')) : folder.create(folder.own('a')),
      missing: folder.own('missing'),
      other: folder.own(''),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  },
  skip,
);

void describe('an image', { skip }, () => {
  void test('may stand on others in its own folder', async () => {
    await using folder = await Folder.make();
    const base = await folder.raw(folder.own('base'));
    const middle = folder.create(folder.own('middle'), '-b', 'base', '-F', 'raw');
    const top = folder.create(folder.own('top'), '-b', middle, '-F', 'qcow2');
    assert.equal(await problemOf(top), '');
    await rm(base);
    assert.match(await problemOf(top), /does not exist/);
  });

  void test('may stand on one of another folder only where the node allows it', async () => {
    await using folder = await Folder.make();
    const base = await folder.raw(folder.foreign('base'));
    const top = folder.create(folder.own('top'), '-b', base, '-F', 'raw');
    assert.match(await problemOf(top), /lies outside/);
    assert.equal(await problemOf(top, path.dirname(base)), '');
    assert.match(await problemOf(top, path.dirname(base).slice(0, -1)), /lies outside/);
  });

  void test('may not get out of its folder by a link or by ..', async () => {
    await using folder = await Folder.make();
    const secret = await folder.raw(folder.foreign('secret'));
    await symlink(secret, folder.own('link'));
    for (const name of ['link', '../foreign/secret']) {
      const top = folder.create(folder.own('top'), '-b', name, '-F', 'raw');
      assert.match(await problemOf(top), /lies outside/);
    }
  });

  void test('may not lead out by the second link of its chain', async () => {
    await using folder = await Folder.make();
    const secret = await folder.raw(folder.foreign('secret'));
    const middle = folder.create(folder.own('middle'), '-b', secret, '-F', 'raw');
    const top = folder.create(folder.own('top'), '-b', middle, '-F', 'qcow2');
    assert.match(await problemOf(top), /lies outside/);
  });

  for (const name of [
    'json:{"driver":"file","filename":"/etc/hostname"}',
    'nbd://127.0.0.1:1/x',
    'file:/etc/hostname',
  ]) {
    void test(`may not name ${name} as its backing file`, async () => {
      await using folder = await Folder.make();
      const top = folder.create(folder.own('top'), '-u', '-b', name, '-F', 'raw');
      assert.match(await problemOf(top), /is not a plain file/);
    });
  }

  void test('must say the format of its backing file', async () => {
    await using folder = await Folder.make();
    await folder.raw(folder.own('base'));
    const top = folder.create(folder.own('top'), '-b', 'base', '-F', 'raw');
    // The extension's type becomes one that QEMU passes over.
    await using handle = await open(top, 'r+');
    const start = Buffer.alloc(4096);
    await handle.read(start, 0, start.length, 0);
    const at = start.indexOf(Buffer.from('e2792aca', 'hex'));
    await handle.write(Buffer.from('00000099', 'hex'), 0, 4, at);
    assert.match(await problemOf(top), /does not say whether/);
  });

  void test('may not keep its data in another file', async () => {
    await using folder = await Folder.make();
    const data = folder.foreign('data');
    const top = folder.create(folder.own('top'), '-o', `data_file=${data},data_file_raw=on`);
    assert.match(await problemOf(top), /keeps its data in another file/);
  });

  void test('that stands on itself ends the search', async () => {
    await using folder = await Folder.make();
    const top = folder.create(folder.own('top'), '-u', '-b', 'top', '-F', 'qcow2');
    assert.match(await problemOf(top), /more than 200/);
  });

  void test('with a cut header or a wild offset is broken', async () => {
    await using folder = await Folder.make();
    const top = folder.create(folder.own('top'));
    await using handle = await open(top, 'r+');
    await handle.write(Buffer.from('ffffffffffffffff', 'hex'), 0, 8, 8);
    assert.match(await problemOf(top), /broken/);
    await handle.truncate(20);
    assert.match(await problemOf(top), /broken/);
  });

  void test('of another kind is told by its name', async () => {
    await using folder = await Folder.make();
    const image = folder.own('a');
    execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', image, '1M']);
    assert.equal((await new QemuImgInspector().find(image, never))?.format, 'vmdk');
  });

  void test('cannot be looked at without qemu-img, which is not the image’s fault', async () => {
    await using folder = await Folder.make();
    const image = await folder.raw(folder.own('a'));
    const images = new QemuImgInspector({ binary: '/nonexistent/qemu-img' });
    await assert.rejects(images.find(image, never), { reason: 'FEATURE_NOT_SUPPORTED' });
  });

  void test('on storage that hangs has a problem in time', async () => {
    await using folder = await Folder.make();
    const image = await folder.raw(folder.own('a'));
    const binary = folder.own('hang');
    await writeFile(binary, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    const found = await new QemuImgInspector({ binary, timeoutMs: 200 }).find(image, never);
    assert.match(found?.problem ?? '', /in time/);
  });
});
