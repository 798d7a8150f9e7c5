import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { LinuxHost } from '../../../../src/drivers/linux/linux-host.ts';

const never = new AbortController().signal;

async function writeFiles(root: string, files: Readonly<Record<string, string>>): Promise<void> {
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
  await writeFiles(proc.path, FILES);
  const host = new LinuxHost({
    proc: proc.path,
    hugepages: path.join(proc.path, 'none'),
    describe: async () => 'Some Linux 1',
  });
  const { operatingSystem, ...facts } = await host.readFacts(never);
  assert.equal(operatingSystem(), '');
  await host.readOperatingSystem();
  assert.equal(operatingSystem(), 'Some Linux 1');
  assert.deepEqual(facts, {
    bootId: '331f687e-d043-4152-810d-f4fb80a8db0b',
    cpus: 2,
    cpuNumbers: [0, 1],
    memoryBytes: 16 * 1024 ** 2,
    hugepages: {},
    hostname: 'host-a',
    kernelRelease: '6.1.0-18-amd64',
  });
});

test('huge pages of both sizes are read from /sys, those that there are none of are left out', async () => {
  await using root = await mkdtempDisposable(path.join(tmpdir(), 'host-'));
  const [proc, hugepages] = [path.join(root.path, 'proc'), path.join(root.path, 'hugepages')];
  await writeFiles(proc, FILES);
  const host = new LinuxHost({ proc, hugepages, describe: async () => '' });
  const read = async () => (await host.readFacts(never)).hugepages;
  await writeFiles(hugepages, {
    'hugepages-2048kB/nr_hugepages': '512\n',
    'hugepages-1048576kB/nr_hugepages': '0\n',
    // Of another architecture; no VM can ask for it.
    'hugepages-64kB/nr_hugepages': '7\n',
  });
  assert.deepEqual(await read(), { '2Mi': 1024 ** 3 });
  await writeFiles(hugepages, { 'hugepages-1048576kB/nr_hugepages': '2\n' });
  assert.deepEqual(await read(), { '2Mi': 1024 ** 3, '1Gi': 2 * 1024 ** 3 });
});

test('a host without CPUs or memory is not believed', async () => {
  await using proc = await mkdtempDisposable(path.join(tmpdir(), 'proc-'));
  await writeFiles(proc.path, { ...FILES, meminfo: 'nothing\n' });
  const host = new LinuxHost({ proc: proc.path, describe: async () => '' });
  await assert.rejects(host.readFacts(never), { reason: 'HYPERVISOR_FAILURE' });
});
