import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { link, symlink } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { locksInTheWay } from '../../../src/drivers/images/file-locks.ts';
import type { ImageQuery } from '../../../src/drivers/images.ts';
import { until } from '../../fixtures/until.ts';
import { Folder, inspectorFor } from './image-folder.ts';

const skip = spawnSync('qemu-io', ['--version']).status === 0 ? false : 'needs qemu-io';
const never = new AbortController().signal;

/** A program that uses an image as QEMU does, until it is disposed. */
class Holder implements AsyncDisposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  static async start(image: string, ...options: readonly string[]): Promise<Holder> {
    const process = spawn('qemu-io', [...options, '-c', 'sleep 60000', image], { stdio: 'ignore' });
    const isWritten = !options.includes('-r');
    // A reader is in the way of writers too.
    await until('it has the image', async () => {
      return (await locksInTheWay({ path: image, isWritten: true })).length > 0;
    });
    assert.equal((await locksInTheWay({ path: image, isWritten: false })).length > 0, isWritten);
    return new Holder(process);
  }

  get found() {
    return [{ pid: this.#process.pid, program: 'qemu-io', vmUid: undefined, vmName: '' }];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await gone;
  }
}

async function holdersOf(folder: Folder, path: string, more: Partial<ImageQuery> = {}) {
  const query = {
    path,
    kind: 'file',
    format: 'qcow2',
    isReadOnly: false,
    user: undefined,
  } as const;
  const found = await inspectorFor(folder).find({ ...query, ...more }, never);
  assert.equal(found?.problem, undefined);
  return found?.holders;
}

void describe('Who has an image', { skip }, () => {
  void test('is found by every path that leads to it, and gone once it has let go', async () => {
    await using folder = await Folder.make();
    const image = folder.create(folder.own('disk'));
    const [soft, hard] = [folder.own('soft'), folder.own('hard')];
    await symlink(image, soft);
    await link(image, hard);
    const other = folder.create(folder.own('other'));
    {
      await using holder = await Holder.start(image);
      for (const path of [image, soft, hard]) {
        assert.deepEqual(await holdersOf(folder, path), holder.found, path);
        assert.deepEqual(await holdersOf(folder, path, { isReadOnly: true }), holder.found);
      }
      assert.deepEqual(await holdersOf(folder, other), []);
    }
    assert.deepEqual(await holdersOf(folder, image), []);
  });

  void test('may read it beside others who read it, and not beside one who writes', async () => {
    await using folder = await Folder.make();
    const image = folder.create(folder.own('disk'));
    await using holder = await Holder.start(image, '-r');
    assert.deepEqual(await holdersOf(folder, image, { isReadOnly: true }), []);
    assert.deepEqual(await holdersOf(folder, image), holder.found);
  });

  void test('is found where it writes to what is behind the image, and is no matter where it reads that', async () => {
    await using folder = await Folder.make();
    const base = folder.create(folder.own('base'));
    const overlay = folder.create(folder.own('overlay'), '-b', base, '-F', 'qcow2');
    const second = folder.create(folder.own('second'), '-b', base, '-F', 'qcow2');
    {
      await using _other = await Holder.start(second);
      assert.deepEqual(await holdersOf(folder, overlay), []);
    }
    await using writer = await Holder.start(base);
    assert.deepEqual(await holdersOf(folder, overlay), writer.found);
  });

  void test('counts for a raw image too', async () => {
    await using folder = await Folder.make();
    const image = await folder.raw(folder.own('disk'));
    await using holder = await Holder.start(image, '-f', 'raw');
    assert.deepEqual(await holdersOf(folder, image, { format: 'raw' }), holder.found);
  });
});
