import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { memoryBytesOf, vcpusOf } from '../../src/core/resources/machine-amounts.ts';
import { never, started, type UseFixture, until } from './hypervisor-fixture.ts';

/** What a hypervisor must say of what running VMs use. */
export function testHypervisorStatistics(use: UseFixture): void {
  describe('statistics', () => {
    test('a VM that runs comes to have figures, and loses them when it stops', async () => {
      const { source } = use();
      const vm = await started(use());
      const find = async () => (await source.statistics.sample(never)).get(vm.uid);
      await until('it has figures', async () => (await find()) !== undefined);
      const figures = await find();
      const machine = vm.spec.template.spec;
      assert.equal(figures?.vcpus, vcpusOf(machine));
      assert.ok((figures?.memoryActualBytes ?? 0) >= memoryBytesOf(machine));
      await source.domains.destroy(vm.uid, never);
      await until('it has none', async () => (await find()) === undefined);
      await source.domains.undefine(vm.uid, never);
    });

    test('a VM that runs tells how large its disks are, and nothing of an empty drive', async () => {
      const { source, newDefinition, mediumPath } = use();
      const { spec, ...vm } = newDefinition();
      const drive = { kind: 'cdrom', cache: 'none' } as const;
      const medium = { file: { path: mediumPath } };
      const volumes = [
        { ...drive, name: 'setup', format: 'raw' as const, source: medium },
        { ...drive, name: 'empty' },
      ];
      const machine = { ...spec.template.spec, volumes };
      await source.domains.define({ ...vm, spec: { ...spec, template: { spec: machine } } }, never);
      await source.domains.start(vm.uid, never);
      const find = async () => (await source.statistics.sample(never)).get(vm.uid);
      await until('it has figures', async () => (await find()) !== undefined);
      const disks = (await find())?.disks ?? [];
      assert.deepEqual(
        disks.map(({ target }) => target),
        ['sda'],
      );
      assert.ok(disks.every((disk) => disk.virtualBytes > 0 && disk.allocatedBytes > 0));
      await source.domains.destroy(vm.uid, never);
      await source.domains.undefine(vm.uid, never);
    });

    test('a VM that is off has none', async () => {
      const { source, newDefinition } = use();
      const vm = newDefinition();
      await source.domains.define(vm, never);
      assert.ok(!(await source.statistics.sample(never)).has(vm.uid));
    });

    test('a sample for nobody rejects with the reason it was aborted for', async () => {
      const { statistics } = use().source;
      const reason = new Error('enough');
      await assert.rejects(statistics.sample(AbortSignal.abort(reason)), reason);
    });
  });
}
