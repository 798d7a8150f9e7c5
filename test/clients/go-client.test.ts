import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { runWithGo } from '../../lab/builds/go-tools.ts';
import { inProject } from '../../lab/core/project.ts';
import { assertClientWorks, fileOfPage, WAYS } from '../fixtures/api-users.ts';
import { never } from '../integration/rpc/rpc-harness.ts';

/* The client in Go of docs/api-users.md, made as the page says: with stubs by Go's own plugins. */

const owned = new AsyncDisposableStack();
let client: string;
before(async () => {
  const folder = owned.use(await mkdtempDisposable(path.join(tmpdir(), 'nc-go-')));
  await writeFile(path.join(folder.path, 'client.go'), fileOfPage('client.go'));
  const environment = { NOVACRON: inProject() };
  const script = ['sh', '-euc', fileOfPage('stubs.sh')];
  await runWithGo(script, { folder: folder.path, environment }, never);
  client = path.join(folder.path, 'client');
});
after(() => owned.disposeAsync());

for (const way of WAYS) {
  test(`client.go of the page for users of the API works by ${way}`, async () => {
    await assertClientWorks([client], way);
  });
}
