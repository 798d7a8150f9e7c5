import { FakePrivateFiles } from '../fakes/fake-private-files.ts';
import { testPrivateFiles } from './private-files-contract.ts';

testPrivateFiles('fake private files', async () => {
  const files = new FakePrivateFiles();
  return Promise.resolve({
    files,
    damage: async (...file: [string, string, string]) => Promise.resolve(files.damage(...file)),
    [Symbol.asyncDispose]: async () => Promise.resolve(),
  });
});
