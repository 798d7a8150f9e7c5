import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { SecretFolder } from '../../src/drivers/linux/secret-folder.ts';
import { FakeNodeSecrets } from '../fakes/fake-node-secrets.ts';
import { testNodeSecrets } from './node-secrets-contract.ts';

const never = new AbortController().signal;
const ME = process.getuid?.() ?? 0;

async function newFolder() {
  const folder = await mkdtemp(path.join(tmpdir(), 'secrets-'));
  const fileOf = (name: string) => path.join(folder, name);
  return {
    folder,
    fileOf,
    secrets: new SecretFolder(folder, ME),
    put: (name: string, content: string) => writeFile(fileOf(name), content, { mode: 0o600 }),
    remove: (name: string) => rm(fileOf(name)),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

testNodeSecrets('SecretFolder', newFolder);
testNodeSecrets('FakeNodeSecrets', async () => {
  const secrets = new FakeNodeSecrets();
  return {
    secrets,
    put: (name, content) => secrets.put(name, content),
    remove: (name) => secrets.remove(name),
    async [Symbol.asyncDispose]() {},
  };
});

test('one that others can read is refused with what to do, links or not', async () => {
  await using fixture = await newFolder();
  const { secrets, fileOf } = fixture;
  await fixture.put('open', 'x');
  await chmod(fileOf('open'), 0o644);
  await symlink('open', fileOf('link'));
  for (const name of ['open', 'link']) {
    await assert.rejects(secrets.read(name, never), {
      reason: 'SECRET_NOT_FOUND',
      message: `Cannot read the secret: ${fileOf(name)} can be read by others than root: chmod 600 ${fileOf(name)}`,
    });
  }
  await chmod(fileOf('open'), 0o400);
  assert.equal(String(await secrets.read('link', never)), 'x');
  const others = new SecretFolder(fixture.folder, ME + 1);
  await assert.rejects(others.read('open', never), /belongs to user \d+; give it to root/);
});

test('what is no file, or too large for a secret, is none, and nothing is waited for', async () => {
  await using fixture = await newFolder();
  const { secrets, fileOf, folder } = fixture;
  execFileSync('mkfifo', ['-m', '600', fileOf('pipe')]);
  await fixture.put('large', 'x'.repeat(64 * 1024 + 1));
  await assert.rejects(secrets.read('pipe', never), /is no file/);
  await assert.rejects(secrets.read('large', never), /has 65537 bytes, of at most 65536/);
  await assert.rejects(
    new SecretFolder(path.dirname(folder), ME).read(path.basename(folder), never),
    /is no file/,
  );
});
