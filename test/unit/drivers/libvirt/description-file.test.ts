import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { DescriptionFile } from '../../../../src/drivers/libvirt/description-file.ts';
import { SOMEBODY_ELSES } from '../../../../src/drivers/libvirt/domain-description.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const DESCRIPTION = { ...SOMEBODY_ELSES, definition: tinyVm(), memoryBytes: 2 ** 40 };

async function withFile() {
  const folder = await mkdtempDisposable(path.join(os.tmpdir(), 'descriptions-'));
  const file = path.join(folder.path, 'domains');
  await DescriptionFile.open(file, 'build').write(new Map([['digest', DESCRIPTION]]));
  return { folder, file };
}

test('what an agent knew of domains the next one of its build knows, once for each', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const next = DescriptionFile.open(file, 'build');
  assert.deepEqual(next.take('digest'), DESCRIPTION);
  assert.equal(next.take('digest'), undefined);
  assert.equal(next.take('another'), undefined);
  // Of VMs, which are nobody else's business.
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('an agent of another build knows nothing of it', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  assert.equal(DescriptionFile.open(file, 'another build').take('digest'), undefined);
});

test('a file that is damaged, cut short, empty or missing is left alone', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const whole = await readFile(file);
  for (let at = 0; at < whole.length; at += 1) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 0x55, at);
    await writeFile(file, damaged);
    assert.equal(DescriptionFile.open(file, 'build').take('digest'), undefined, `byte ${at}`);
  }
  for (const length of [0, 3, 4, 5, whole.length - 1]) {
    await writeFile(file, whole.subarray(0, length));
    assert.equal(DescriptionFile.open(file, 'build').take('digest'), undefined);
  }
  assert.equal(DescriptionFile.open(`${file}-none`, 'build').take('digest'), undefined);
});

test('what cannot be written leaves what was there, and nothing beside it', async () => {
  const { folder, file } = await withFile();
  await using _ = folder;
  const known = DescriptionFile.open(file, 'build');
  // As a disk that is full would.
  const unwritable = new Map([['digest', { ...DESCRIPTION, cpu: () => '' }]]);
  await assert.rejects(known.write(unwritable as never));
  assert.deepEqual(DescriptionFile.open(file, 'build').take('digest'), DESCRIPTION);
  assert.deepEqual(await readdir(folder.path), ['domains']);
});
