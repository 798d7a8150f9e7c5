import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { ImageRoom } from '../../../../src/agent/images/image-room.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { untilAborted } from '../../../../src/core/until-aborted.ts';
import { FakeDiskFiles } from '../../../fakes/fake-disk-files.ts';
import { FakeImageStore } from '../../../fakes/fake-image-store.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';

const never = new AbortController().signal;

function newRoom(cacheBytes = 0) {
  const images = new FakeImages();
  const store = new FakeImageStore(images, new FakeDiskFiles(images));
  const log = createLogger('silent');
  const parts = new Set<string>();
  const givenUp = {
    list: () => [...parts],
    forget: (name: string) => parts.delete(name),
    discard: async (name: string, signal: AbortSignal) => {
      parts.delete(name);
      await store.discardPart(name, signal);
    },
  };
  const room = new ImageRoom({ store, cacheBytes, listKept: () => [], givenUp, log });
  return { store, parts, room };
}

test('parts that were given up count, the first of them goes first, before any image', async () => {
  const { store, parts, room } = newRoom(250);
  for (const name of ['a', 'b', 'c']) {
    store.incoming.set(`/srv/disks/base/incoming/${name}.part`, Buffer.alloc(100));
    parts.add(name);
  }
  parts.add('gone');
  await room.trim(never);
  assert.deepEqual([...parts], ['b', 'c']);
  assert.deepEqual(
    [...store.incoming.keys()].map((file) => path.basename(file)),
    ['b.part', 'c.part'],
  );
});

test('who gives up while what was left is removed takes that from nobody else', async () => {
  const { store, room } = newRoom();
  const goOn = Promise.withResolvers<void>();
  let times = 0;
  store.tidy = async (_wanted, signal) => {
    times += 1;
    await untilAborted(goOn.promise, signal);
  };
  const giveUp = new AbortController();
  const reason = new Error('enough');
  const first = assert.rejects(room.tidy(giveUp.signal), reason);
  const second = room.tidy(never);
  giveUp.abort(reason);
  await first;
  goOn.resolve();
  await second;
  await room.tidy(never);
  assert.equal(times, 1);
});

test('storage that cannot be tidied up keeps nobody from fetching', async () => {
  const { store, room } = newRoom();
  store.tidy = () => Promise.reject(new Error('it is away'));
  await room.tidy(never);
});
