import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { readManifestFiles } from '../../../../src/cli/input/manifest-files.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';
import { folderWith } from './manifest-samples.ts';

async function read(filename: readonly string[], recursive = false, stdin = '') {
  const io = new FakeCliIo();
  io.stdin = stdin;
  return await readManifestFiles({ filename, recursive }, io);
}

const FILES = { 'b.json': 'B', 'a.yaml': 'A', 'c.yml': 'C', 'notes.txt': 'N', 'more/d.yaml': 'D' };

test('a folder gives its manifests by name, and those of its folders only if asked', async () => {
  await using made = await folderWith(FILES);
  const { folder } = made;
  const names = async (recursive: boolean) =>
    (await read([folder], recursive)).map(({ where }) => path.relative(folder, where));
  assert.deepEqual(await names(false), ['a.yaml', 'b.json', 'c.yml']);
  assert.deepEqual(await names(true), ['a.yaml', 'b.json', 'c.yml', 'more/d.yaml']);
});

test('files, folders and standard input come in the order given', async () => {
  await using made = await folderWith(FILES);
  const { folder } = made;
  const parts = await read([`${folder}/more`, '-', `${folder}/notes.txt`], false, 'S');
  const texts = parts.map((part) => ('value' in part ? part.value : 'error'));
  assert.deepEqual(texts, ['D', 'S', 'N']);
  assert.equal(parts[1]?.where, 'standard input');
});

test('a file that cannot be read does not keep others from being read', async () => {
  await using made = await folderWith(FILES);
  const [missing, found] = await read(['/nowhere.yaml', `${made.folder}/a.yaml`]);
  assert.ok(missing !== undefined && 'error' in missing);
  assert.equal(missing.error.message, 'Cannot read /nowhere.yaml: it does not exist');
  assert.deepEqual(found, { where: `${made.folder}/a.yaml`, value: 'A' });
});

test('an address is not taken for a file that is missing', async () => {
  const [part] = await read(['https://example.com/web.yaml']);
  assert.ok(part !== undefined && 'error' in part);
  assert.match(part.error.message, /web\.yaml: an address is not fetched; .* -f -$/);
});

test('a folder without a manifest says so, and that -R looks further', async () => {
  await using made = await folderWith({ 'more/d.yaml': 'D' });
  const [part] = await read([made.folder]);
  assert.ok(part !== undefined && 'error' in part);
  assert.match(part.error.message, /it has no \*\.yaml.*; -R looks into its folders as well$/);
});
