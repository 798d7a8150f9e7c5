import { FakeHypervisor, fakeMigration } from '../fakes/fake-hypervisor.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';
import { testHypervisor } from './hypervisor-contract.ts';

testHypervisor('FakeHypervisor', async () => {
  const source = new FakeHypervisor('source');
  const destination = new FakeHypervisor('destination');
  FakeHypervisor.connect(source, destination);
  return {
    source,
    destination,
    newDefinition: () => tinyVm(),
    mediumPath: '/images/setup.iso',
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
