import { testHypervisor } from '../../contract/hypervisor-contract.ts';
import type { VmSize } from '../../contract/hypervisor-fixture.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

/** Of memory that was never touched QEMU sends 9 bytes a page: for 16 GiB 36 s at the pace of a slow migration. */
const MEMORY: Readonly<Record<VmSize, string>> = { small: '64Mi', medium: '2Gi', large: '16Gi' };

testHypervisor(
  'LibvirtHypervisor',
  async () => {
    const pair = await LibvirtPair.start();
    return {
      source: pair.source,
      destination: pair.destination,
      newDefinition: (size = 'small') =>
        tinyVm({}, { resources: { cpu: '1', memory: MEMORY[size] } }),
      migration: (definition, speed) => pair.migration(definition, speed),
      [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose](),
    };
  },
  skipReason(),
);
