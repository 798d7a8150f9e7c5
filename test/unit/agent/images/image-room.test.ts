import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImageRoom } from '../../../../src/agent/images/image-room.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { untilAborted } from '../../../../src/core/until-aborted.ts';
import { FakeDiskFiles } from '../../../fakes/fake-disk-files.ts';
import { FakeImageStore } from '../../../fakes/fake-image-store.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';

const never = new AbortController().signal;

function newRoom() {
  const images = new FakeImages();
  const store = new FakeImageStore(images, new FakeDiskFiles(images));
  const log = createLogger('silent');
  return { store, room: new ImageRoom({ store, cacheBytes: 0, listKept: () => [], log }) };
}

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
