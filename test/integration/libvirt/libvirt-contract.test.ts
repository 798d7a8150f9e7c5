import { testHypervisor } from '../../contract/hypervisor-contract.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

testHypervisor(
  'LibvirtHypervisor',
  async () => {
    const pair = await LibvirtPair.start();
    return {
      source: pair.source,
      destination: pair.destination,
      newDefinition: (size) =>
        tinyVm({}, { resources: { cpu: '1', memory: size === 'large' ? '512Mi' : '64Mi' } }),
      migration: (definition, speed) => pair.migration(definition, speed),
      [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
    };
  },
  skipReason(),
);
