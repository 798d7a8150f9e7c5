import assert from 'node:assert/strict';
import {
  chmod,
  glob,
  mkdtempDisposable,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import { DescriptionFile } from '../../../../src/drivers/libvirt/description-file.ts';
import {
  type DomainDescription,
  describeDomain,
  SOMEBODY_ELSES,
} from '../../../../src/drivers/libvirt/domain-description.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const DESCRIPTION = { ...SOMEBODY_ELSES, definition: tinyVm(), memoryBytes: 2 ** 40 };

async function withFile() {
  const folder = await mkdtempDisposable(path.join(os.tmpdir(), 'descriptions-'));
  const file = path.join(folder.path, 'domains');
  await new DescriptionFile(file, 'build').write(new Map([['digest', DESCRIPTION]]));
  return { folder, file };
}

test('what an agent knew of domains the next one of its build knows, once for each', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const next = new DescriptionFile(file, 'build');
  assert.deepEqual(next.take('digest'), DESCRIPTION);
  assert.equal(next.take('digest'), undefined);
  assert.equal(next.take('another'), undefined);
  // Of VMs, which are nobody else's business.
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('an agent of another build knows nothing of it', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  assert.equal(new DescriptionFile(file, 'another build').take('digest'), undefined);
});

test('a file that is damaged, cut short, empty or missing is left alone', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const whole = await readFile(file);
  for (let at = 0; at < whole.length; at += 1) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0x55, at);
    await writeFile(file, damaged);
    assert.equal(new DescriptionFile(file, 'build').take('digest'), undefined, `byte ${at}`);
  }
  for (const length of [0, 3, 4, 5, whole.length - 1]) {
    await writeFile(file, whole.subarray(0, length));
    assert.equal(new DescriptionFile(file, 'build').take('digest'), undefined);
  }
  assert.equal(new DescriptionFile(`${file}-none`, 'build').take('digest'), undefined);
});

test('what cannot be written leaves what was there, and nothing beside it', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const known = new DescriptionFile(file, 'build');
  // As a disk that is full would.
  const unwritable = new Map([['digest', { ...DESCRIPTION, cpu: () => '' }]]);
  await assert.rejects(known.write(unwritable as never));
  assert.deepEqual(new DescriptionFile(file, 'build').take('digest'), DESCRIPTION);
  assert.deepEqual(await readdir(folder.path), ['domains']);
});

test('a file that others can write, or that is none, is left alone', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  await symlink(file, `${file}-link`);
  assert.equal(new DescriptionFile(`${file}-link`, 'build').take('digest'), undefined);
  assert.equal(new DescriptionFile(folder.path, 'build').take('digest'), undefined);
  await chmod(file, 0o620);
  assert.equal(new DescriptionFile(file, 'build').take('digest'), undefined);
});

test('a file whose content is something else is left alone', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  for (const content of [7, undefined, null, [], { build: 'build', descriptions: 7 }]) {
    const bytes = serialize(content);
    const checksum = Buffer.alloc(4);
    checksum.writeUInt32LE(crc32(bytes));
    await writeFile(file, Buffer.concat([checksum, bytes]));
    assert.equal(new DescriptionFile(file, 'build').take('digest'), undefined);
  }
});

test('the folder is made for it', async () => {
  const { folder } = await withFile();
  await using _ = folder;
  const file = path.join(folder.path, 'run', 'domains');
  await new DescriptionFile(file, 'build').write(new Map([['digest', DESCRIPTION]]));
  assert.deepEqual(new DescriptionFile(file, 'build').take('digest'), DESCRIPTION);
});

test('what was not taken is gone once it is forgotten', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const known = new DescriptionFile(file, 'build');
  known.forget();
  assert.equal(known.take('digest'), undefined);
});

test('whatever XML says comes back as it was', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const descriptions = new Map<string, DomainDescription>();
  for await (const xml of glob('test/fixtures/domain-xml/*/*.xml')) {
    const live = await readFile(xml, 'utf8');
    descriptions.set(xml, describeDomain({ live, persistent: live }));
  }
  assert.ok(descriptions.size >= 10);
  await new DescriptionFile(file, 'build').write(descriptions);
  const known = new DescriptionFile(file, 'build');
  for (const [xml, description] of descriptions) assert.deepEqual(known.take(xml), description);
});
