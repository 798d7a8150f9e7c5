import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  mkdir,
  mkdtemp,
  readdir,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { newProbeMark, PROBE_MARK } from '../../../src/core/probe-mark.ts';
import type { ImagePlace } from '../../../src/drivers/disk-probe.ts';
import type { PlaceSettings } from '../../../src/drivers/images/allowed-places.ts';
import { probeProcessUrl } from '../../../src/drivers/images/disk-probe/probe-protocol.ts';
import { ProcessDiskProbe } from '../../../src/drivers/images/disk-probe/process-disk-probe.ts';
import { testDiskProbe } from '../../contract/disk-probe-contract.ts';
import { until } from '../../fixtures/until.ts';

const never = new AbortController().signal;

/** Folders for images: one that both nodes see, and one of each node. */
class Folders implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<Folders> {
    const root = await mkdtemp(path.join(tmpdir(), 'novacron-probe-'));
    for (const name of ['shared', 'here', 'there', 'outside']) await mkdir(path.join(root, name));
    return new Folders(root);
  }

  at(...names: readonly string[]): string {
    return path.join(this.root, ...names);
  }

  async image(folder: string, format: 'raw' | 'qcow2', name = 'disk'): Promise<ImagePlace> {
    const file = this.at(folder, name);
    await writeFile(file, format === 'raw' ? '' : qcow2Start(2 ** 20));
    if (format === 'raw') await truncate(file, 2 ** 20);
    return { kind: 'file', path: file, format };
  }

  /** Of a node whose VMs may have all that is in these folders but `outside`. */
  probe(timeoutMs?: number): ProcessDiskProbe {
    const { places } = this;
    return new ProcessDiskProbe({ places, ...(timeoutMs !== undefined && { timeoutMs }) });
  }

  get places(): PlaceSettings {
    const folders = ['shared', 'here', 'there'].map((name) => this.at(name));
    const blockDevices = ['/dev/null', this.at('shared', '*')];
    return { folders, bootFolders: [], blockDevices, ownFiles: [] };
  }

  async marks(folder = 'shared'): Promise<readonly string[]> {
    return (await readdir(this.at(folder))).filter((name) => name.startsWith('.novacron-probe-'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}

/** As much of a qcow2 file as says what it is. */
function qcow2Start(sizeBytes: number): Buffer {
  const start = Buffer.alloc(512);
  start.writeUInt32BE(0x51_46_49_fb, 0);
  start.writeUInt32BE(3, 4);
  start.writeBigUInt64BE(BigInt(sizeBytes), 24);
  return start;
}

testDiskProbe('the probe process', async () => {
  const folders = await Folders.make();
  const processes: ChildProcess[] = [];
  return {
    here: folders.probe(),
    there: folders.probe(),
    async shared(format) {
      const place = await folders.image('shared', format);
      return [place, place];
    },
    async separate() {
      return [await folders.image('here', 'raw'), await folders.image('there', 'raw')];
    },
    async opened() {
      const place = await folders.image('shared', 'raw');
      const vmUid = randomUUID();
      processes.push(await openAsQemu(place.path, vmUid));
      return {
        place: { ...place, vmUid },
        replace: async (by) => {
          await rm(place.path);
          if (by === 'another') await folders.image('shared', 'raw');
        },
      };
    },
    async countMarks() {
      return (await folders.marks()).length;
    },
    missing: folders.at('shared', 'missing'),
    async outside() {
      await symlink(folders.at('outside', 'missing'), folders.at('shared', 'dangling'));
      await symlink(folders.at('outside', 'disk'), folders.at('shared', 'link'));
      const file = { kind: 'file', format: 'raw' } as const;
      const block = { kind: 'block', path: '/dev/zero', format: 'raw' } as const;
      const links = ['link', 'dangling'].map((name) => folders.at('shared', name));
      return {
        there: [await folders.image('outside', 'raw'), { ...file, path: links[0] ?? '' }, block],
        missing: [
          { ...file, path: folders.at('outside', 'missing') },
          { ...file, path: links[1] ?? '' },
          { ...block, path: '/dev/none' },
        ],
        countMarks: async () => (await folders.marks('outside')).length,
      };
    },
    async [Symbol.asyncDispose]() {
      for (const each of processes) each.kill();
      await folders[Symbol.asyncDispose]();
    },
  };
});

/** A process that has a file open and calls itself by its VM, as libvirt has QEMU do. */
async function openAsQemu(file: string, vmUid: string): Promise<ChildProcess> {
  const script = 'exec 3<>"$1"; echo open; read -r word';
  const args = ['-c', script, 'sh', file, '-uuid', vmUid];
  const qemu = spawn('/bin/sh', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(qemu.stdout, 'data');
  return qemu;
}

test('links lead to the folder that is marked, and to the name that is compared', async () => {
  await using folders = await Folders.make();
  const { path: target } = await folders.image('shared', 'raw');
  await symlink(target, folders.at('here', 'link'));
  const link = { kind: 'file', path: folders.at('here', 'link'), format: 'raw' } as const;
  await using marked = await folders.probe().mark([link], never);
  const [image] = marked.images;
  assert.ok(image?.kind === 'file');
  assert.deepEqual(await folders.marks('shared'), [image.mark]);
  assert.deepEqual(await folders.marks('here'), []);
  const [seen] = await folders.probe().look([{ ...link, path: target, mark: image.mark }], never);
  assert.deepEqual([image.name, seen?.kind], ['disk', 'file']);
});

test('what is opened raw is raw, whatever the guest has written to it', async () => {
  await using folders = await Folders.make();
  const qcow2 = await folders.image('shared', 'qcow2');
  await using marked = await folders.probe().mark([{ ...qcow2, format: 'raw' }], never);
  const [image] = marked.images;
  assert.ok(image?.kind === 'file');
  assert.deepEqual([image.format, image.sizeBytes], ['raw', 512]);
});

test('what is opened as qcow2 and is none is told', async () => {
  await using folders = await Folders.make();
  const raw = await folders.image('shared', 'raw');
  await using marked = await folders.probe().mark([{ ...raw, format: 'qcow2' }], never);
  const [image] = marked.images;
  assert.equal(image?.kind === 'file' && image.format, 'raw');
});

test('a mark that somebody has left is taken away by the next probe, one that is new is not', async () => {
  await using folders = await Folders.make();
  const image = await folders.image('shared', 'raw');
  const [left, fresh, foreign] = [newProbeMark(), newProbeMark(), '.novacron-probe-x'];
  for (const name of [left, fresh, foreign]) await writeFile(folders.at('shared', name), '');
  const before = new Date(Date.now() - 3_600_000);
  for (const name of [left, foreign]) await utimes(folders.at('shared', name), before, before);
  const marked = await folders.probe().mark([image], never);
  await marked[Symbol.asyncDispose]();
  assert.deepEqual((await folders.marks()).toSorted(), [fresh, foreign].toSorted());
  assert.ok(PROBE_MARK.test(fresh) && !PROBE_MARK.test(foreign));
});

test('the marks of an agent that is killed go with it', async () => {
  await using folders = await Folders.make();
  const image = await folders.image('shared', 'raw');
  const request = JSON.stringify({ verb: 'mark', images: [image], places: folders.places });
  // The middle one stands for the agent: the probe process gets its input from nobody else.
  const agent = spawn(process.execPath, ['--input-type=module', '--eval', AGENT], {
    env: { ...process.env, PROBE: probeProcessUrl().pathname, REQUEST: request },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(createInterface({ input: agent.stdout }), 'line');
  assert.equal((await folders.marks()).length, 1);
  agent.kill('SIGKILL');
  await until('the mark is gone', async () => (await folders.marks()).length === 0);
});

const AGENT = `
  import { spawn } from 'node:child_process';
  const probe = spawn(process.execPath, [process.env.PROBE]);
  probe.stdout.pipe(process.stdout);
  probe.stdin.write(process.env.REQUEST + '\\n');
`;

test('an image that cannot be looked at in time is unknown', async () => {
  await using folders = await Folders.make();
  const image = await folders.image('shared', 'raw');
  const [found] = await folders.probe(1).look([{ ...image, mark: newProbeMark() }], never);
  assert.deepEqual(found, { kind: 'unknown', problem: 'the storage does not answer' });
});

test('folders and files are no devices, and folders no files', async () => {
  await using folders = await Folders.make();
  const file = await folders.image('shared', 'raw');
  await mkdir(folders.at('shared', 'folder'));
  const places = [
    { ...file, path: folders.at('shared', 'folder') },
    { ...file, kind: 'block' as const },
    { ...file, kind: 'block' as const, path: '/dev/null' },
  ];
  await using marked = await folders.probe().mark(places, never);
  assert.deepEqual(
    marked.images.map((image) => 'problem' in image && image.problem),
    ['it is no plain file', 'it is no block device', 'it is no block device'],
  );
});
