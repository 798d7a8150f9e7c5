import { FakeDiskFiles } from '../fakes/fake-disk-files.ts';
import { FakeImages } from '../fakes/fake-images.ts';
import { testDiskFiles } from './disk-files-contract.ts';

testDiskFiles('fake disk files', async () => {
  const files = new FakeDiskFiles(new FakeImages());
  return Promise.resolve({
    files,
    folder: '/srv/disks',
    write: async (file: string) => Promise.resolve(files.write(file)),
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
