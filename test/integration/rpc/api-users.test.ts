import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { installPythonClients } from '../../../lab/builds/python-clients.ts';
import { inProject } from '../../../lab/core/project.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { never, RpcHarness } from './rpc-harness.ts';

/* The clients of docs/api-users.md, as they stand there. */

const PAGE = readFileSync(inProject('docs/api-users.md'), 'utf8');

function programOf(name: string): string {
  const [, text] = new RegExp(`\`\`\`\\w+ ${name}\\n(.*?)\`\`\``, 's').exec(PAGE) ?? [];
  assert.ok(text !== undefined, `docs/api-users.md has no ${name}`);
  return text;
}

async function follow(command: readonly string[], restart: () => Promise<void>): Promise<void> {
  const [program = '', ...words] = command;
  await using client = new OwnedProcess(spawn(program, words, { cwd: inProject() }));
  const expectLine = async (wanted: RegExp) => assert.match(await client.nextLine(), wanted);
  await expectLine(/^web VIRTUAL_MACHINE_PHASE_RUNNING$/);
  await expectLine(/^There is no VM nothing VM_NOT_FOUND$/);
  await expectLine(/^RESET - -$/);
  await expectLine(/^ADDED web -$/);
  await expectLine(/^SYNCED - -$/);
  await restart();
  await expectLine(/^ended /);
  while (!/^(RESET|SYNCED) - -$/.test(await client.nextLine()));
}

for (const [name, interpreter] of [
  ['client.mjs', async () => process.execPath],
  ['client.py', () => installPythonClients(never)],
] as const) {
  for (const way of ['the socket', 'TLS']) {
    test(`${name} of the page for users of the API works by ${way}`, async () => {
      // Beside the packages that it imports.
      await using folder = await mkdtempDisposable(inProject('build', 'api-users-'));
      const program = path.join(folder.path, name);
      await writeFile(program, programOf(name));
      await using harness = await RpcHarness.start();
      const { ca, certificate, key } = await harness.identity('spiffe://novacron/role/viewer');
      const { port } = harness.server;
      const reached =
        way === 'TLS'
          ? [harness.address, ca, certificate, key, 'node-a']
          : [`unix:${harness.socket}`];
      await follow([await interpreter(), program, ...reached], () => harness.restart(port));
    });
  }
}
