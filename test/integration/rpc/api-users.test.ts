import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { installPythonClients } from '../../../lab/builds/python-clients.ts';
import { inProject } from '../../../lab/core/project.ts';
import { assertClientWorks, fileOfPage, WAYS } from '../../fixtures/api-users.ts';
import { never } from './rpc-harness.ts';

for (const [name, interpreter] of [
  ['client.mjs', async () => process.execPath],
  ['client.py', () => installPythonClients(never)],
] as const) {
  for (const way of WAYS) {
    test(`${name} of the page for users of the API works by ${way}`, async () => {
      // Beside the packages that it imports.
      await using folder = await mkdtempDisposable(inProject('build', 'api-users-'));
      const program = path.join(folder.path, name);
      await writeFile(program, fileOfPage(name));
      await assertClientWorks([await interpreter(), program], way);
    });
  }
}
