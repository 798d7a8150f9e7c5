import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PrivateFileFolder } from '../../src/drivers/private-files/private-file-folder.ts';
import { testPrivateFiles } from './private-files-contract.ts';

testPrivateFiles('PrivateFileFolder', async () => {
  const state = await mkdtempDisposable(path.join(tmpdir(), 'private-files-'));
  return {
    files: new PrivateFileFolder(state.path),
    damage: (vmUid, name, digest) =>
      writeFile(path.join(state.path, 'private', vmUid, `${name}-${digest}`), 'damaged'),
    [Symbol.asyncDispose]: () => state[Symbol.asyncDispose](),
  };
});
