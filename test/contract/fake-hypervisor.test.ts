import { FakeHypervisor } from '../fakes/fake-hypervisor.ts';
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
    migration(definition, speed) {
      source.migrationIterations = speed === 'slow' ? 1000 : 20;
      return {
        transport: {
          kind: 'stream',
          destinationSocket: destination.socket,
          memorySocket: '/run/fake/memory',
        },
        mode: 'precopy',
        copiedVolumes: [],
        maxDowntimeMs: undefined,
        bandwidthBytesPerSecond: undefined,
        destinationFacts: {
          ownershipEpoch: definition.ownershipEpoch + 1,
          owner: destination.hostUuid,
        },
      };
    },
    async [Symbol.asyncDispose]() {},
  };
});
