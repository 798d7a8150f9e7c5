import assert from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import type { Volume } from '../../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

/* What is on a bus already when a device is plugged in. */

const never = new AbortController().signal;

test('devices that somebody else has plugged in are in nobody’s way', {
  skip: skipReason(),
}, async () => {
  await using pair = await LibvirtPair.start();
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'live-'));
  const disk = (name: string): Volume => {
    const file = path.join(folder.path, `${name}.raw`);
    writeFileSync(file, Buffer.alloc(1024 * 1024));
    return { name, kind: 'disk', format: 'raw', cache: 'none', source: { file: { path: file } } };
  };
  const { domains, devices } = pair.source;
  const vm = tinyVm();
  await domains.define(vm, never);
  await domains.start(vm.uid, never);
  const other = path.join(folder.path, 'other.raw');
  writeFileSync(other, Buffer.alloc(1024 * 1024));
  pair.sourceNode.virsh('attach-disk', vm.uid, other, 'vdz', '--live');

  const one = withVolumes(vm, [disk('data')]);
  await domains.define(one, never);
  assert.deepEqual(
    (await devices.changeLive(vm.uid, never)).map(({ state }) => state),
    ['done'],
  );
  const found = await domains.find(vm.uid, never);
  assert.deepEqual(
    found?.disks.map(({ target }) => target),
    ['vda', 'vdz'],
  );

  // The bus of a machine of this type has room for so many more.
  const many = ['b', 'c', 'd', 'e'].map(disk);
  await domains.define(withVolumes(vm, [...volumesOf(one), ...many], 3), never);
  const changes = await devices.changeLive(vm.uid, never);
  const failed = changes.filter(({ state }) => state === 'failed');
  assert.ok(failed.length > 0 && failed.length < many.length);
  for (const { problem } of failed) {
    assert.equal(problem?.reason, 'HYPERVISOR_REFUSED');
    assert.match(problem.message, /no free slot on its bus while it runs: restart it/);
  }
  await domains.destroy(vm.uid, never);
  await domains.start(vm.uid, never);
  assert.equal((await domains.find(vm.uid, never))?.volumes.length, 5);
  await domains.destroy(vm.uid, never);
});

function volumesOf(vm: VmDefinition): readonly Volume[] {
  return vm.spec.template.spec.volumes ?? [];
}

function withVolumes(vm: VmDefinition, volumes: readonly Volume[], generation = 2): VmDefinition {
  const { spec } = vm;
  const machine = { ...spec.template.spec, volumes: [...volumes] };
  return { ...vm, generation, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}
