import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MachineParts } from '../../src/drivers/hypervisor-host.ts';
import { assertAbortable, never, started, type UseFixture } from './hypervisor-fixture.ts';

/** What a hypervisor must say of its host. */
export function testHypervisorHost(use: UseFixture): void {
  describe('host', () => {
    test('two hosts tell themselves apart', async () => {
      const { source, destination } = use();
      const [one, other] = await Promise.all([
        source.host.getInfo(never),
        destination.host.getInfo(never),
      ]);
      assert.notEqual(one.hostUuid, other.hostUuid);
      assert.notEqual(one.hostUuid, '');
    });

    test('it says what it is and can do', async () => {
      const info = await use().source.host.getInfo(never);
      assert.match(info.libvirtVersion, /^\d+\.\d+\.\d+$/);
      assert.match(info.qemuVersion, /^\d+\.\d+\.\d+$/);
      assert.ok(info.accelerators.length > 0);
      assert.ok(info.machineTypes.includes('q35'));
    });

    test('it says where VMs of other nodes come in', async () => {
      const { incomingSocket } = await use().source.host.getInfo(never);
      assert.equal(incomingSocket.problem, undefined);
      assert.match('path' in incomingSocket ? incomingSocket.path : '', /^\//);
    });

    test('a CPU that it runs itself it can have, and of what means nothing to it there is nothing to say', async () => {
      const { host, domains } = use().source;
      const vm = await started(use());
      const { cpu = '', accelerator = 'tcg' } = (await domains.find(vm.uid, never)) ?? {};
      assert.notEqual(cpu, '');
      assert.equal(await host.findCpuProblem(cpu, accelerator, never), undefined);
      assert.equal(await host.findCpuProblem('<domain/>', accelerator, never), undefined);
      assert.equal(await host.findCpuProblem('no XML', accelerator, never), undefined);
      await domains.destroy(vm.uid, never);
      assert.equal((await domains.find(vm.uid, never))?.cpu, '');
    });

    test('a CPU model that there is nowhere is told, and one that everybody has is not', async () => {
      const { host } = use().source;
      const problem = await host.findModelProblem({ model: 'no-such-cpu' }, 'tcg', never);
      assert.equal(problem?.part, 'model');
      assert.match(problem.description, /no-such-cpu/);
      assert.equal(await host.findModelProblem({ model: 'qemu64' }, 'tcg', never), undefined);
    });

    test('a CPU feature that there is nowhere is told, to be added or taken away, and those that there are, are not', async () => {
      const { host } = use().source;
      for (const features of [['+no-such'], ['-no-such'], ['+aes', '-no-such']]) {
        const problem = await host.findModelProblem({ features }, 'tcg', never);
        assert.equal(problem?.part, 'features');
        assert.match(problem.description, /no-such/);
      }
      const features = ['+aes', '-svm'];
      for (const model of [undefined, 'qemu64']) {
        assert.equal(await host.findModelProblem({ model, features }, 'tcg', never), undefined);
      }
    });

    test('of what every host can give a machine there is nothing to say', async () => {
      const { host } = use().source;
      const watchdog = { model: 'i6300esb', action: 'reset' } as const;
      const ask = (machine: MachineParts) => host.findMachineProblems(machine, 'tcg', never);
      assert.deepEqual(await ask({ watchdog }), []);
      assert.deepEqual(await ask({}), []);
      // Nobody gives them without KVM, and they are left out.
      assert.deepEqual(await ask({ hyperv: { enabled: true } }), []);
    });

    test('there is a place for the keys of disks', async () => {
      assert.equal(await use().source.host.keepsDiskKeys(never), true);
    });

    test('it says on which buses disks can be', async () => {
      const buses = (await use().source.host.listDiskBuses(never)) ?? [];
      for (const bus of ['virtio', 'scsi', 'sata']) assert.ok(buses.includes(bus), bus);
    });

    test('an aborted question rejects with the reason it was aborted for', async () => {
      const { host } = use().source;
      await assertAbortable((signal) => host.getInfo(signal));
    });
  });
}
