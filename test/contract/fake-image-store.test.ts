import type { StoredImage } from '../../src/drivers/image-store.ts';
import { FakeDiskFiles } from '../fakes/fake-disk-files.ts';
import { FakeImageStore } from '../fakes/fake-image-store.ts';
import { FakeImages } from '../fakes/fake-images.ts';
import { testImageStore } from './image-store-contract.ts';

const never = new AbortController().signal;

testImageStore('fake image store', async () => {
  const images = new FakeImages();
  const disks = new FakeDiskFiles(images);
  const store = new FakeImageStore(images, disks);
  return Promise.resolve({
    store,
    fetch: async (path: string, content: Buffer) => {
      await Promise.resolve(store.incoming.set(path, content));
    },
    isThere: async (path: string) => Promise.resolve(store.paths.includes(path)),
    stand: async ({ path, format, digest, virtualBytes: bytes }: StoredImage) => {
      const disk = '/srv/disks/root.qcow2';
      const image = { source: 'https://example.org/a', digest, path, format, bytes };
      await disks.make({ path: disk, format: 'qcow2', bytes, image, owner: undefined }, never);
      return disk;
    },
    removeDisk: (path: string) => disks.remove(path, never),
    damage: async (path: string) => {
      await Promise.resolve(store.damaged.add(path));
    },
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
