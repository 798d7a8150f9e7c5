import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine } from '../../src/core/resources/machine.ts';
import { memoryBytesOf } from '../../src/core/resources/machine-amounts.ts';
import type { Volume } from '../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import type { ChangeEffect, HypervisorVm } from '../../src/drivers/hypervisor-domains.ts';
import { effectOf } from '../../src/drivers/libvirt/domain-xml/domain-parts.ts';
import {
  assertAbortable,
  never,
  rejectsWith,
  started,
  type UseFixture,
  until,
  writtenByNewerAgent,
} from './hypervisor-fixture.ts';

const MIB = 2 ** 20;
const LAN = { name: 'lan', type: 'bridge', bridge: 'br0' } as const;

/** What a hypervisor must do with devices of VMs that run. */
export function testHypervisorDevices(use: UseFixture): void {
  test('disks and interfaces are plugged in while a VM runs, and are then part of what runs', async () => {
    const { source, makeDisk } = use();
    const vm = await started(use());
    const disks = [diskOf('data', makeDisk()), diskOf('more', makeDisk(), { bus: 'scsi' })];
    const next = changed(vm, { volumes: disks, networks: [LAN] });
    await source.domains.define(next, never);
    const changes = await source.devices.changeLive(vm.uid, never);
    assert.deepEqual(
      changes.toSorted((a, b) => b.field.localeCompare(a.field)),
      [
        { field: 'spec.template.spec.volumes[1]', key: 'volumes/more', state: 'done' },
        { field: 'spec.template.spec.volumes[0]', key: 'volumes/data', state: 'done' },
        { field: 'spec.template.spec.networks[0]', key: 'networks/lan', state: 'done' },
      ],
    );
    const found = await source.domains.find(vm.uid, never);
    assert.deepEqual(
      found?.volumes.map(({ name, target, path }) => [name, target, path]),
      disks.map(({ name, bus, source: from }) => [
        name,
        bus === 'scsi' ? 'sda' : 'vda',
        from?.file?.path,
      ]),
    );
    assert.equal(found.interfaces[0]?.name, 'lan');
    // What the next start takes is no other place than what runs has.
    assert.deepEqual([found.drift, found.liveDefinition], [[], undefined]);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), []);
    await source.domains.destroy(vm.uid, never);
  });

  test('what a guest does not let go of stays plugged in, and goes on being so where it is wanted again', async () => {
    const { source, makeDisk, keepDevices } = use();
    const vm = changed(use().newDefinition(), { volumes: [diskOf('data', makeDisk())] });
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    using _kept = keepDevices(vm.uid);
    await source.domains.define(changed(vm, { volumes: [] }), never);
    const field = 'spec.template.spec.volumes[0]';
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), [
      { field, key: 'volumes/data', state: 'asked' },
    ]);
    const kept = await source.domains.find(vm.uid, never);
    assert.equal(kept?.volumes.length, 1);
    assert.notEqual(kept.liveDefinition, undefined);
    await source.domains.define(changed(vm, {}, 3), never);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), []);
    await source.domains.destroy(vm.uid, never);
  });

  test('a guest that runs lets go of a disk, and gets another under its name', async () => {
    const { source, startGuest, makeDisk } = use();
    const vm = await startGuest();
    const isDone = async (what: string, next: VmDefinition) => {
      await source.domains.define(next, never);
      await until(what, async () =>
        (await source.devices.changeLive(vm.uid, never)).every(({ state }) => state === 'done'),
      );
      const found = await source.domains.find(vm.uid, never);
      assert.equal(found?.liveDefinition, undefined);
      return found;
    };
    const one = changed(vm, { volumes: [diskOf('data', makeDisk())], networks: [LAN] });
    assert.equal((await isDone('it is plugged in', one))?.volumes.length, 1);
    const none = await isDone('it has let go', changed(vm, {}, 3));
    assert.deepEqual([none?.volumes, none?.interfaces], [[], []]);
    const path = makeDisk();
    const other = await isDone('another', changed(vm, { volumes: [diskOf('data', path)] }, 4));
    assert.equal(other?.volumes[0]?.path, path);
    await source.domains.destroy(vm.uid, never);
  });

  test('what a guest lets go of once it is wanted again comes back', async () => {
    const { source, startGuest, makeDisk } = use();
    const vm = await startGuest();
    const { uid } = vm;
    const namesNow = async () =>
      (await source.domains.find(uid, never))?.volumes.map(({ name }) => name);
    const withDisk = changed(vm, { volumes: [diskOf('data', makeDisk())] });
    await source.domains.define(withDisk, never);
    await source.devices.changeLive(uid, never);
    await source.domains.suspend(uid, never);
    await source.domains.define(changed(vm, {}, 3), never);
    const [asked] = await source.devices.changeLive(uid, never);
    assert.equal(asked?.state, 'asked');
    await source.domains.define({ ...withDisk, generation: 4 }, never);
    assert.deepEqual(await source.devices.changeLive(uid, never), []);
    assert.deepEqual(await namesNow(), ['data']);
    await source.domains.resume(uid, never);
    await until('it has let go', async () => (await namesNow())?.length === 0);
    const [back] = await source.devices.changeLive(uid, never);
    assert.equal(back?.state, 'done');
    assert.deepEqual(await namesNow(), ['data']);
    assert.equal((await source.domains.find(uid, never))?.liveDefinition, undefined);
    await source.domains.destroy(uid, never);
  });

  test('the link of an interface is pulled and plugged in while its VM runs', async () => {
    const { source } = use();
    const vm = changed(use().newDefinition(), { networks: [LAN] });
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const linkOf = async (link: 'up' | 'down' | undefined, generation: number) => {
      const network = link === undefined ? LAN : { ...LAN, link };
      await source.domains.define(changed(vm, { networks: [network] }, generation), never);
      const changes = await source.devices.changeLive(vm.uid, never);
      assert.ok(changes.every(({ state }) => state === 'done'));
      const found = await source.domains.find(vm.uid, never);
      assert.deepEqual([found?.drift, found?.liveDefinition], [[], undefined]);
      return found?.interfaces[0]?.link ?? 'up';
    };
    assert.equal(await linkOf('down', 2), 'down');
    assert.equal(await linkOf('up', 3), 'up');
    assert.equal(await linkOf('down', 4), 'down');
    assert.equal(await linkOf(undefined, 5), 'up');
    await source.domains.destroy(vm.uid, never);
  });

  test('what cannot be plugged in is told with the reason, and what can is', async () => {
    const { source, makeDisk } = use();
    const vm = await started(use());
    const volumes = [diskOf('gone', '/missing/disk.raw'), diskOf('data', makeDisk())];
    await source.domains.define(changed(vm, { volumes }), never);
    const [gone, data, ...others] = await source.devices.changeLive(vm.uid, never);
    assert.deepEqual([gone?.state, data?.state, others], ['failed', 'done', []]);
    assert.match(gone?.problem?.message ?? '', /\/missing\/disk\.raw/);
    const found = await source.domains.find(vm.uid, never);
    assert.deepEqual(
      found?.volumes.map(({ name }) => name),
      ['data'],
    );
    await source.domains.destroy(vm.uid, never);
  });

  test('a VM that is off, and one of which not all is understood, have nothing to change', async () => {
    const { source, makeDisk } = use();
    const vm = use().newDefinition();
    await source.domains.define(vm, never);
    await source.domains.define(changed(vm, { volumes: [diskOf('data', makeDisk())] }), never);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), []);
    const newer = writtenByNewerAgent(use().newDefinition());
    await source.domains.define(newer, never);
    assert.deepEqual(await source.devices.changeLive(newer.uid, never), []);
    await rejectsWith('VM_NOT_FOUND', source.devices.changeLive(unknownUid(), never));
  });

  test('a disk is made larger while its VM runs, and never smaller', async () => {
    const { source, makeDisk } = use();
    const path = makeDisk();
    const vm = changed(use().newDefinition(), { volumes: [diskOf('data', path)] });
    await source.domains.define(vm, never);
    const resize = (file: string, bytes: number) =>
      source.devices.resizeDisk(vm.uid, file, bytes, never);
    await rejectsWith('VM_NOT_RUNNING', resize(path, 2 * MIB));
    await source.domains.start(vm.uid, never);
    await rejectsWith('VM_NOT_RUNNING', resize(makeDisk(), 2 * MIB));
    await resize(path, 2 * MIB);
    await resize(path, 2 * MIB);
    await rejectsWith('INVALID_SPEC', resize(path, MIB));
    await source.domains.destroy(vm.uid, never);
  });

  test('a disk takes the place of another while its VM runs', async () => {
    const { source, startGuest, makeDisk } = use();
    const vm = await startGuest();
    const has = async (name: string, generation: number) => {
      const volumes = [diskOf(name, makeDisk())];
      await source.domains.define(changed(vm, { volumes }, generation), never);
      const changes = await source.devices.changeLive(vm.uid, never);
      assert.ok(
        changes.every(({ state }) => state === 'done'),
        JSON.stringify(changes),
      );
      const found = await source.domains.find(vm.uid, never);
      assert.deepEqual(
        found?.volumes.map((volume) => [volume.name, volume.target]),
        [[name, 'vda']],
      );
      assert.equal(found.liveDefinition, undefined);
    };
    await has('one', 2);
    await has('other', 3);
    await source.domains.destroy(vm.uid, never);
  });

  test('a VM is given CPUs while it runs, as many as it may have', async () => {
    const { source, newDefinition } = use();
    const vm = changed(newDefinition(), { cpu: { max: 3 } }, 1);
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const before = await source.domains.find(vm.uid, never);
    assert.deepEqual([before?.sizes?.vcpus.given, before?.sizes?.vcpus.most], [1, 3]);
    const { memory } = vm.spec.template.spec.resources;
    const cpus = (cpu: string) => ({ resources: { cpu, memory } });
    const field = 'spec.template.spec.resources.cpu';
    await source.domains.define(changed(vm, cpus('2')), never);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), [
      { field, key: field, state: 'done' },
    ]);
    const found = await source.domains.find(vm.uid, never);
    assert.equal(found?.sizes?.vcpus.given, 2);
    assert.deepEqual([found.drift, found.liveDefinition], [[], undefined]);
    // More than it may have waits for its next start.
    assert.equal(effect(found, '4', 'cpu'), 'next-start');
    assert.equal(effect(found, '3', 'cpu'), 'live');
    await source.domains.define(changed(vm, { ...cpus('4'), cpu: { max: 4 } }, 3), never);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), []);
    await source.domains.destroy(vm.uid, never);
  });

  test('memory that a guest has not taken, or not given back, is waited for', async () => {
    const { source, newDefinition, keepDevices } = use();
    const { cpu, memory } = newDefinition().spec.template.spec.resources;
    const vm = changed(newDefinition(), { memory: { max: '256Mi' } }, 1);
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    using _kept = keepDevices(vm.uid);
    const field = 'spec.template.spec.resources.memory';
    for (const [generation, wanted] of [
      [2, '256Mi'],
      [3, '32Mi'],
    ] as const) {
      const next = changed(vm, { resources: { cpu, memory: wanted } }, generation);
      await source.domains.define(next, never);
      const [change, ...others] = await source.devices.changeLive(vm.uid, never);
      assert.deepEqual([change?.field, change?.state, others], [field, 'asked', []]);
      assert.notEqual(change?.lack ?? '', '');
    }
    const found = await source.domains.find(vm.uid, never);
    assert.equal(effect(found, '250Mi', 'memory'), 'live');
    assert.equal(effect(found, '1Gi', 'memory'), 'next-start');
    await source.domains.define(changed(vm, { resources: { cpu, memory } }, 4), never);
    assert.deepEqual(await source.devices.changeLive(vm.uid, never), []);
    await source.domains.destroy(vm.uid, never);
  });

  test('a guest gives memory back, and gets again what it began with', async () => {
    const { source, startGuest } = use();
    const vm = await startGuest();
    const { cpu, memory: whole } = vm.spec.template.spec.resources;
    const less = String(memoryBytesOf(vm.spec.template.spec) - 16 * MIB);
    for (const [generation, memory] of [
      [2, less],
      [3, whole],
    ] as const) {
      await source.domains.define(changed(vm, { resources: { cpu, memory } }, generation), never);
      await until(`it has ${memory}`, async () =>
        (await source.devices.changeLive(vm.uid, never)).every(({ state }) => state === 'done'),
      );
      const found = await source.domains.find(vm.uid, never);
      assert.deepEqual([found?.drift, found?.liveDefinition], [[], undefined]);
    }
    await source.domains.destroy(vm.uid, never);
  });

  test('changes of devices can be given up', async () => {
    const { source } = use();
    const vm = await started(use());
    await assertAbortable((signal) => source.devices.changeLive(vm.uid, signal));
    await source.domains.destroy(vm.uid, never);
  });
}

/** Of a change of a size of a VM. */
function effect(
  vm: HypervisorVm | undefined,
  after: string,
  resource: 'cpu' | 'memory',
): ChangeEffect {
  const field = `spec.template.spec.resources.${resource}`;
  return effectOf(field, { before: undefined, after }, vm?.sizes);
}

function unknownUid(): string {
  return '00000000-0000-4000-8000-00000000dead';
}

function diskOf(name: string, path: string, more: Partial<Volume> = {}): Volume {
  const source = { file: { path } };
  return { name, kind: 'disk', format: 'raw', cache: 'none', source, ...more };
}

function changed(vm: VmDefinition, machine: Partial<Machine>, generation = 2): VmDefinition {
  const { spec } = vm;
  const next = { ...spec.template.spec, ...machine };
  return {
    ...vm,
    generation,
    spec: { ...spec, template: { ...spec.template, spec: next } },
  };
}
