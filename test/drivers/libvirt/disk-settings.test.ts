import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { Volume } from '../../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

/* What a real QEMU makes of the settings of disks. */

const never = new AbortController().signal;
const LIMITS = {
  readBytesPerSecond: '10Mi',
  totalIops: 200,
  burst: { readBytesPerSecond: '20Mi', totalIops: 400, seconds: 5 },
} as const;

describe('settings of disks', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node));
  });
  after(() => stack.disposeAsync());

  async function disk(name: string, changes: Partial<Volume> = {}): Promise<Volume> {
    const file = path.join(node.folder, `${name}.raw`);
    await writeFile(file, '');
    await truncate(file, 1024 ** 2);
    const source = { file: { path: file } };
    return { name, kind: 'disk', format: 'raw', cache: 'none', source, ...changes };
  }

  async function start(vm: VmDefinition): Promise<void> {
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    assert.deepEqual((await hypervisor.domains.find(vm.uid, never))?.drift, []);
  }

  test('limits are QEMU’s, and gone with the next start after they were taken out', async () => {
    const root = await disk('limited', { iotune: LIMITS });
    const vm = tinyVm({}, { volumes: [root, await disk('free')] });
    await start(vm);
    assert.deepEqual(numbers(node.virsh('blkdeviotune', vm.uid, 'vda')), {
      read_bytes_sec: 10 * 1024 ** 2,
      total_iops_sec: 200,
      read_bytes_sec_max: 20 * 1024 ** 2,
      total_iops_sec_max: 400,
      read_bytes_sec_max_length: 5,
      total_iops_sec_max_length: 5,
    });
    assert.equal(numbers(node.virsh('blkdeviotune', vm.uid, 'vdb'))['total_iops_sec'], undefined);
    const { iotune: _, ...plain } = root;
    await hypervisor.domains.destroy(vm.uid, never);
    await start(changed(vm, { volumes: [plain] }));
    assert.doesNotMatch(node.virsh('dumpxml', vm.uid), /<iotune>/);
    await hypervisor.domains.destroy(vm.uid, never);
  });

  test('disks have the threads that they are given', async () => {
    const volumes = [
      await disk('one', { iothread: 1 }),
      await disk('two', { iothread: 2 }),
      await disk('none'),
    ];
    const vm = tinyVm({}, { iothreads: 2, volumes });
    await start(vm);
    const threads = node.virsh('iothreadinfo', vm.uid).match(/^ \d+ /gm) ?? [];
    assert.deepEqual(
      threads.map(Number).toSorted((one, other) => one - other),
      [1, 2],
    );
    const devices = (await readFile(`/proc/${node.qemuPid(vm.uid)}/cmdline`, 'utf8')).split('\0');
    const used = devices.flatMap((word) => /"iothread":"(\w+)"/.exec(word)?.[1] ?? []);
    assert.deepEqual(used, ['iothread1', 'iothread2']);
    await hypervisor.domains.destroy(vm.uid, never);
    const { iothreads: _, ...machine } = vm.spec.template.spec;
    const plain = volumes.map(({ iothread: __, ...rest }) => rest);
    const next = tinyVm({ uid: vm.uid, name: vm.name }, { ...machine, volumes: plain });
    await start(next);
    assert.doesNotMatch(node.virsh('dumpxml', vm.uid), /<iothreads>|iothread='/);
    await hypervisor.domains.destroy(vm.uid, never);
  });

  test('every error policy is one that disks and drives can have', async () => {
    for (const errorPolicy of ['stop', 'report', 'enospace'] as const) {
      const volumes = [
        await disk(errorPolicy, { errorPolicy }),
        await disk(`${errorPolicy}-cd`, { kind: 'cdrom', errorPolicy }),
        await disk(`${errorPolicy}-scsi`, { bus: 'scsi', errorPolicy }),
      ];
      const vm = tinyVm({}, { volumes });
      await start(vm);
      const found = node.virsh('dumpxml', vm.uid).match(/error_policy='\w+'/g) ?? [];
      assert.deepEqual(found, Array(3).fill(`error_policy='${errorPolicy}'`));
      await hypervisor.domains.destroy(vm.uid, never);
    }
  });
});

const changed = (vm: VmDefinition, machine: Partial<Machine>): VmDefinition => {
  const { template } = vm.spec;
  const spec = { ...vm.spec, template: { spec: { ...template.spec, ...machine } } };
  return { ...vm, generation: vm.generation + 1, spec };
};

/** Of blkdeviotune and the like: names with their numbers, of those that are not 0. */
const numbers = (text: string) =>
  Object.fromEntries(
    [...text.matchAll(/^(\S+)\s*: (\d+)$/gm)]
      .filter(([, , value]) => value !== '0')
      .map(([, name, value]) => [name, Number(value)]),
  );
