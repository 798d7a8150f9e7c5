import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  chmod,
  mkdir,
  mkdtempDisposable,
  readdir,
  readFile,
  stat,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { privateFileError } from '../../../../src/drivers/private-files/errors.ts';
import { PrivateFileFolder } from '../../../../src/drivers/private-files/private-file-folder.ts';

const never = new AbortController().signal;
const vm = randomUUID();
const content = Buffer.from('password: secret');

const temporary = () => mkdtempDisposable(path.join(tmpdir(), 'private-files-'));

async function modeOf(...parts: readonly string[]): Promise<number> {
  return (await stat(path.join(...parts))).mode & 0o777;
}

test('only the owner may see anything of a private file, whatever was there before', async () => {
  await using state = await temporary();
  const folder = path.join(state.path, 'private', vm);
  await mkdir(folder, { recursive: true });
  for (const open of [folder, path.dirname(folder)]) await chmod(open, 0o755);
  const digest = await new PrivateFileFolder(state.path).put(vm, 'user-data', content, never);
  assert.equal(await modeOf(folder), 0o700);
  assert.equal(await modeOf(path.dirname(folder)), 0o700);
  assert.equal(await modeOf(folder, `user-data-${digest}`), 0o600);
});

test('what a killed agent has left of a file is taken for nothing, and cleared away', async () => {
  await using state = await temporary();
  const files = new PrivateFileFolder(state.path);
  const digest = await files.put(vm, 'user-data', content, never);
  const folder = path.join(state.path, 'private', vm);
  const fresh = path.join(folder, `user-data-${digest}.new`);
  await writeFile(fresh, 'half', { mode: 0o644 });
  assert.ok(content.equals(await files.read(vm, 'user-data', digest, never)));
  await files.put(vm, 'user-data', content, never);
  assert.deepEqual(await readdir(folder), [`user-data-${digest}`]);
  assert.equal(await modeOf(folder, `user-data-${digest}`), 0o600);
  assert.ok(content.equals(await readFile(path.join(folder, `user-data-${digest}`))));
});

test('what is no folder of a VM is not listed', async () => {
  await using state = await temporary();
  const files = new PrivateFileFolder(state.path);
  await files.put(vm, 'user-data', content, never);
  await mkdir(path.join(state.path, 'private', 'lost+found'));
  assert.deepEqual(await files.listVms(never), [vm]);
});

function failed(code: string) {
  return privateFileError(Object.assign(new Error(code), { code }), '/state');
}

test('a full disk is told from one that fails', () => {
  for (const code of ['ENOSPC', 'EDQUOT']) assert.equal(failed(code).reason, 'STORAGE_FULL');
  assert.equal(failed('EIO').reason, 'JOURNAL_FAILURE');
  assert.match(failed('EIO').message, /\/state: EIO; check the disk/);
});

test('where files cannot be made, putting one away fails in words', async () => {
  await using state = await temporary();
  await writeFile(path.join(state.path, 'private'), 'no folder');
  const put = new PrivateFileFolder(state.path).put(vm, 'user-data', content, never);
  await assert.rejects(put, {
    reason: 'JOURNAL_FAILURE',
    message: /in .*private: (EEXIST|ENOTDIR)/,
  });
});
