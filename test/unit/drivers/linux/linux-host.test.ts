import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { LinuxHost } from '../../../../src/drivers/linux/linux-host.ts';

const never = new AbortController().signal;

async function writeProc(root: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), content);
  }
}

const FILES = {
  'sys/kernel/random/boot_id': '331f687e-d043-4152-810d-f4fb80a8db0b\n',
  'sys/kernel/hostname': 'host-a\n',
  'sys/kernel/osrelease': '6.1.0-18-amd64\n',
  stat: 'cpu  1 2 3\ncpu0 1 2 3\ncpu1 1 2 3\nintr 5\n',
  meminfo: 'MemTotal:       16384 kB\nMemFree:        100 kB\n',
};

test('facts are read from /proc', async () => {
  await using proc = await mkdtempDisposable(path.join(tmpdir(), 'proc-'));
  await writeProc(proc.path, FILES);
  const host = new LinuxHost({ proc: proc.path, describe: async () => 'Some Linux 1' });
  assert.deepEqual(await host.readFacts(never), {
    bootId: '331f687e-d043-4152-810d-f4fb80a8db0b',
    cpus: 2,
    memoryBytes: 16 * 1024 ** 2,
    hostname: 'host-a',
    operatingSystem: 'Some Linux 1',
    kernelRelease: '6.1.0-18-amd64',
  });
});

test('a host without CPUs or memory is not believed', async () => {
  await using proc = await mkdtempDisposable(path.join(tmpdir(), 'proc-'));
  await writeProc(proc.path, { ...FILES, meminfo: 'nothing\n' });
  const host = new LinuxHost({ proc: proc.path, describe: async () => '' });
  await assert.rejects(host.readFacts(never), { reason: 'HYPERVISOR_FAILURE' });
});
