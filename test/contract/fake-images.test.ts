import { FakeImages } from '../fakes/fake-images.ts';
import { testImages } from './images-contract.ts';

testImages('fake images', async () => {
  const images = new FakeImages();
  images.add('/srv/folder', {
    kind: 'other',
    format: '',
    problem: { reason: 'IMAGE_INVALID', text: 'it is a folder' },
  });
  return Promise.resolve({
    images,
    create: async (format: 'raw' | 'qcow2') => {
      images.add(`/srv/image.${format}`, { format });
      return Promise.resolve(`/srv/image.${format}`);
    },
    missing: '/srv/missing',
    other: '/srv/folder',
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
