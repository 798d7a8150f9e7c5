import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { hasReason } from '../../../../src/core/errors.ts';
import { ConsoleLogs } from '../../../../src/drivers/libvirt/console-logs.ts';

const ONE = '0b9d3c4e-1111-4222-8333-444455556666';
const OTHER = '0b9d3c4e-1111-4222-8333-444455556667';

test('all parts of a console log go, those of other VMs and what libvirt itself has there stay', async () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'consoles-'));
  const kept = [
    `${OTHER}-console.log`,
    // QEMU's own log of a domain that somebody has called so.
    `${ONE}.log`,
    'default_web.log',
    `${ONE}-console.log.bak`,
    `x${ONE}-console.log`,
  ];
  const gone = ['', '.0', '.1', '.12'].map((part) => `${ONE}-console.log${part}`);
  for (const name of [...kept, ...gone]) writeFileSync(path.join(folder.path, name), 'login: ');
  const consoles = new ConsoleLogs(folder.path);
  assert.equal(consoles.pathOf(ONE), path.join(folder.path, `${ONE}-console.log`));
  assert.deepEqual((await consoles.list()).toSorted(), [ONE, OTHER]);
  for (let times = 0; times < 2; times += 1) await consoles.remove(ONE);
  assert.deepEqual(readdirSync(folder.path).toSorted(), kept.toSorted());
  assert.deepEqual(await consoles.list(), [OTHER]);
});

test('a folder that is not there has none, one that is no folder says so', async () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'consoles-'));
  const missing = new ConsoleLogs(path.join(folder.path, 'missing'));
  assert.deepEqual(await missing.list(), []);
  await missing.remove(ONE);
  const file = path.join(folder.path, 'file');
  writeFileSync(file, '');
  await assert.rejects(new ConsoleLogs(file).remove(ONE), (error) =>
    hasReason(error, 'HYPERVISOR_FAILURE'),
  );
});
