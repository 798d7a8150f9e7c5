import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FindingFile } from '../../../../src/drivers/boot-probe/finding-file.ts';

const HOUR_MS = 3_600_000;
const YES = { boots: true, why: '' };
const NO = { boots: false, why: 'a guest of ours said nothing within 10 s' };

test('that guests boot holds for the same boot, kernel and QEMU; that none does, for an hour', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'novacron-findings-'));
  const file = join(folder.path, 'kvm-boots.json');
  let nowMs = 1_000;
  const findings = new FindingFile(file, () => nowMs);
  assert.equal(await findings.recall('boot 1'), undefined);
  await findings.remember('boot 1', YES);
  nowMs += 1_000 * HOUR_MS;
  assert.deepEqual(await findings.recall('boot 1'), YES);
  assert.equal(await findings.recall('boot 2'), undefined);

  await findings.remember('boot 2', NO);
  assert.deepEqual(await findings.recall('boot 2'), NO);
  nowMs += HOUR_MS;
  assert.equal(await findings.recall('boot 2'), undefined);
  // A clock that was set back says nothing of its age.
  nowMs -= 2 * HOUR_MS;
  assert.equal(await findings.recall('boot 2'), undefined);
});

test('what cannot be read or written is found out again', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'novacron-findings-'));
  const file = join(folder.path, 'kvm-boots.json');
  for (const broken of ['', '{"key":"boot 1"', '[]', '{"key":"boot 1","boots":"yes"}']) {
    await writeFile(file, broken);
    assert.equal(await new FindingFile(file).recall('boot 1'), undefined, broken);
  }
  const nowhere = new FindingFile(join(folder.path, 'no/such/folder.json'));
  await nowhere.remember('boot 1', YES);
  assert.equal(await nowhere.recall('boot 1'), undefined);
});
