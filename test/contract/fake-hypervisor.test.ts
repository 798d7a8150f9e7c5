import { randomUUID } from 'node:crypto';
import { FakeHypervisor, fakeMigration } from '../fakes/fake-hypervisor.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';
import { testHypervisor } from './hypervisor-contract.ts';
import { never } from './hypervisor-fixture.ts';

testHypervisor('FakeHypervisor', async () => {
  const source = new FakeHypervisor('source');
  const destination = new FakeHypervisor('destination');
  FakeHypervisor.connect(source, destination);
  return {
    source,
    destination,
    newDefinition: () => tinyVm(),
    async startGuest() {
      const vm = tinyVm();
      await source.domains.define(vm, never);
      await source.domains.start(vm.uid, never);
      const guest = source.giveGuestAgent(vm.uid);
      // As far as this guest has programs.
      guest.runs = ({ program, stdin }) =>
        program === 'sleep'
          ? undefined
          : { exitCode: 3, stdout: stdin, stderr: Buffer.from('err') };
      return vm;
    },
    mediumPath: '/images/setup.iso',
    makeDisk: () => `/images/${randomUUID()}.raw`,
    keepDevices() {
      source.keepsDevices = true;
      return { [Symbol.dispose]: () => void (source.keepsDevices = false) };
    },
    makeEncryptedDisk: () =>
      Promise.resolve({
        path: '/images/data.qcow2',
        format: 'qcow2',
        bytes: 2 ** 23,
        encryption: { secret: 'disk-key' },
      }),
    async makeByHand() {
      const vm = tinyVm({}, { kernel: { path: '/boot/vmlinuz' } });
      await source.domains.define(vm, never);
      source.addForeign(vm.uid, { kept: ['sound ich9'] });
      return vm;
    },
    openDrive: (uid, volumeName) => source.openDrive(uid, volumeName),
    shutDrive: (uid, volumeName) => source.shutDrive(uid, volumeName),
    changeByHand: (uid, part) => source.changeByHand(uid, part),
    migration(definition, speed) {
      source.migrationIterations = speed === 'slow' ? 1000 : 20;
      return fakeMigration(destination, {
        ownershipEpoch: definition.ownershipEpoch + 1,
        owner: destination.hostUuid,
      });
    },
    async [Symbol.asyncDispose]() {},
  };
});
