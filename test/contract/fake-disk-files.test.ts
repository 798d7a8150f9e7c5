import { FakeDiskFiles } from '../fakes/fake-disk-files.ts';
import { FakeImages } from '../fakes/fake-images.ts';
import { testDiskFiles } from './disk-files-contract.ts';

testDiskFiles('fake disk files', async () => {
  const images = new FakeImages();
  const files = new FakeDiskFiles(images);
  return Promise.resolve({
    files,
    folder: '/srv/disks',
    makeImage: async (bytes: number) => {
      const path = '/srv/disks/base/a.qcow2';
      await Promise.resolve(images.add(path, { format: 'qcow2' }));
      return { source: 'https://example.org/a', digest: 'sha256:a', path, format: 'qcow2', bytes };
    },
    removeImage: async (file: string) => Promise.resolve(images.remove(file)),
    write: async (file: string) => Promise.resolve(files.write(file)),
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
