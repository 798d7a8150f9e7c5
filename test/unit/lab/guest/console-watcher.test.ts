import assert from 'node:assert/strict';
import { appendFile, mkdtempDisposable, rename, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ConsoleWatcher } from '../../../../lab/guest/console-watcher.ts';

function heartbeat(count: number, bad = 0): string {
  return `novacron-demo count=${count} ms=${count * 10} gen=7 checked=9 bad=${bad}\n`;
}

test('only what is written from now on counts', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'console-'));
  const log = path.join(folder.path, 'vm.log');
  await writeFile(log, heartbeat(1));
  using watcher = new ConsoleWatcher(log);
  await appendFile(log, heartbeat(2));
  watcher.read();
  assert.deepEqual(countsOf(watcher), [2]);
});

test('a log that is not there yet is read once it is', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'console-'));
  const log = path.join(folder.path, 'vm.log');
  using watcher = new ConsoleWatcher(log);
  await writeFile(log, 'novacron-demo count=');
  watcher.read();
  assert.equal(watcher.remainder, 'novacron-demo count=');
  await appendFile(log, '5 ms=1 gen=0 checked=0 bad=0\n');
  watcher.read();
  assert.deepEqual(countsOf(watcher), [5]);
  assert.equal(watcher.remainder, '');
});

test('rotation loses nothing', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'console-'));
  const log = path.join(folder.path, 'vm.log');
  await writeFile(log, '');
  using watcher = new ConsoleWatcher(log);
  await appendFile(log, `${heartbeat(1)}novacron-demo cou`);
  await rename(log, `${log}.0`);
  await writeFile(log, `nt=2 ms=1 gen=0 checked=0 bad=0\n${heartbeat(3)}`);
  watcher.read();
  assert.deepEqual(countsOf(watcher), [1, 2, 3]);
});

test('checks, bad pages, panics and the power button are noticed', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'console-'));
  const log = path.join(folder.path, 'vm.log');
  using watcher = new ConsoleWatcher(log);
  const lines = [
    'novacron-demo ready pages=49152 ms=1',
    'novacron-demo verify pass=1 bad=0',
    'novacron-demo bad page=5 number=5 gen=1 expected=2',
    heartbeat(10, 1).trimEnd(),
    '[    3.1] Kernel panic - not syncing: Attempted to kill init!',
    'novacron-demo power-off count=10',
  ];
  await writeFile(log, `${lines.join('\n')}\n`);
  watcher.read();
  assert.equal(watcher.ready, true);
  assert.equal(watcher.passes.length, 1);
  assert.equal(watcher.bad, 1);
  assert.equal(watcher.alarms.length, 2);
  assert.equal(watcher.powerOff, 10);
});

function countsOf(watcher: ConsoleWatcher): number[] {
  return watcher.heartbeats.map(({ count }) => count);
}
