import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ImageProcesses } from '../../../src/drivers/images/image-processes.ts';
import { ProcessImageInspector } from '../../../src/drivers/images/process-image-inspector.ts';
import { HangingMount } from '../../fixtures/hanging-mount.ts';
import { until } from '../../fixtures/until.ts';
import { Folder, queryOf } from './image-folder.ts';

const skip =
  process.getuid?.() === 0 && existsSync('/dev/fuse') ? false : 'needs root and /dev/fuse';
const never = new AbortController().signal;

function open(folder: Folder, timeoutMs: number): ImageProcesses {
  const places = {
    folders: [folder.own('')],
    bootFolders: [folder.foreign('')],
    blockDevices: [],
    ownFiles: [],
  };
  return new ImageProcesses({ places, timeoutMs });
}

/** Processes that look at images for this one. */
function children(): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      const parent = / \(.*\) \S (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1];
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      return Number(parent) === process.pid && command.includes('image-process');
    } catch {
      return false;
    }
  }).length;
}

test('what lies on storage that has gone away is told in time, and everything else is looked at as before', {
  skip,
}, async () => {
  await using folder = await Folder.make();
  const well = folder.create(folder.own('well'));
  const kernel = await folder.raw(folder.foreign('vmlinuz'));
  using processes = open(folder, 4_000);
  const images = new ProcessImageInspector(processes);
  {
    await using gone = await HangingMount.at(folder.own('gone'));
    const stuck = Array.from({ length: 4 }, (_, index) =>
      images.find(queryOf({ path: `${gone.folder}/disk-${index}` }), never),
    );
    // While those hang.
    assert.equal((await images.find(queryOf({ path: well }), never))?.problem, undefined);
    assert.equal((await images.findBootFile(kernel, undefined, never))?.problem, undefined);
    for (const found of await Promise.all(stuck)) {
      assert.equal(found?.problem?.reason, 'IMAGE_UNREACHABLE');
      assert.match(found.problem.text, /^its storage does not answer \(.*\/own\/gone\); look at/);
    }
    // The agent's own files are not kept from it either.
    assert.ok(readFileSync('/proc/self/stat', 'utf8').length > 0);
    assert.equal((await images.find(queryOf({ path: well }), never))?.format, 'qcow2');
  }
  // Nobody is there any more, and what hung has ended.
  await until('it is looked at again', async () => {
    const found = await images.find(queryOf({ path: folder.own('gone/disk') }), never);
    return found === undefined;
  });
});

test('who gives up leaves no process behind, and asking again and again starts no more than a few', {
  skip,
}, async () => {
  await using folder = await Folder.make();
  await using gone = await HangingMount.at(folder.own('gone'));
  using processes = open(folder, 300);
  const images = new ProcessImageInspector(processes);
  const giveUp = new AbortController();
  const asked = images.find(queryOf({ path: `${gone.folder}/disk` }), giveUp.signal);
  const refused = assert.rejects(asked, /^Error: enough$/);
  await until('a process looks', () => children() === 1);
  giveUp.abort(new Error('enough'));
  await refused;
  for (let round = 0; round < 3; round += 1) {
    await until('none looks any more', () => children() === 0);
    const found = await images.find(queryOf({ path: `${gone.folder}/disk` }), never);
    assert.equal(found?.problem?.reason, 'IMAGE_UNREACHABLE');
  }
  await until('all of them have ended', () => children() === 0);
});

test('of many who ask at once none is told that storage does not answer, nor are more than a few processes started', {
  skip,
}, async () => {
  await using folder = await Folder.make();
  const image = folder.create(folder.own('well'));
  using processes = open(folder, 10_000);
  const images = new ProcessImageInspector(processes);
  let most = 0;
  const over = new AbortController();
  const counting = (async () => {
    for (; !over.signal.aborted; await setImmediate()) most = Math.max(most, children());
  })();
  const asked = Array.from({ length: 40 }, () => images.find(queryOf({ path: image }), never));
  for (const found of await Promise.all(asked)) assert.equal(found?.problem, undefined);
  over.abort();
  await counting;
  assert.ok(most <= 4, `${most} processes at once`);
});

test('who waits for others to have looked at the same storage is told with them that it is gone', {
  skip,
}, async () => {
  await using folder = await Folder.make();
  await using gone = await HangingMount.at(folder.own('gone'));
  using processes = open(folder, 2_000);
  const images = new ProcessImageInspector(processes);
  const asked = Array.from({ length: 12 }, (_, index) =>
    images.find(queryOf({ path: `${gone.folder}/disk-${index}` }), never),
  );
  let most = 0;
  const looked = until('they look', () => {
    most = Math.max(most, children());
    return most > 0;
  });
  const found = await Promise.all(asked);
  await looked;
  for (const one of found) assert.equal(one?.problem?.reason, 'IMAGE_UNREACHABLE');
  assert.ok(most <= 4, `${most} processes at once`);
});
