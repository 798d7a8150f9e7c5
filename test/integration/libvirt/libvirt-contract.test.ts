import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { testHypervisor } from '../../contract/hypervisor-contract.ts';
import type { ChangeByHand, VmSize } from '../../contract/hypervisor-fixture.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { agentKernel, bootGuest } from './agent-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

/** Of memory that was never touched QEMU sends 9 bytes a page: for 16 GiB 36 s at the pace of a slow migration. */
const MEMORY: Readonly<Record<VmSize, string>> = { small: '64Mi', medium: '2Gi', large: '16Gi' };

/** virsh's words for it, before and after the uid. */
const BY_HAND: Readonly<Record<ChangeByHand, readonly [string, ...string[]]>> = {
  memory: ['setmem', '48M', '--config'],
  volumes: ['detach-disk', 'vda', '--config'],
  networks: ['detach-interface', 'bridge', '--config'],
  persistence: ['undefine'],
};

testHypervisor(
  'LibvirtHypervisor',
  async () => {
    const pair = await LibvirtPair.start();
    const folder = mkdtempDisposableSync(path.join(tmpdir(), 'media-'));
    const mediumPath = path.join(folder.path, 'setup.iso');
    writeFileSync(mediumPath, Buffer.alloc(1024 * 1024));
    return {
      source: pair.source,
      destination: pair.destination,
      newDefinition: (size = 'small') =>
        tinyVm({}, { resources: { cpu: '1', memory: MEMORY[size] } }),
      async startGuest() {
        const kernel = await agentKernel('real');
        const vm = tinyVm({}, { resources: { cpu: '1', memory: '192Mi' }, kernel });
        await bootGuest(pair.source, vm);
        return vm;
      },
      mediumPath,
      changeByHand(uid, part) {
        const [verb, ...values] = BY_HAND[part];
        pair.sourceNode.virsh(verb, uid, ...values);
      },
      migration: (definition, speed) => pair.migration(definition, speed),
      async [Symbol.asyncDispose]() {
        await pair[Symbol.asyncDispose]();
        folder[Symbol.dispose]();
      },
    };
  },
  skipReason(),
);
