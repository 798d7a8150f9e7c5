import { once } from 'node:events';
import { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { answers } from './libvirt-pair.ts';
import { waitFor } from './private-libvirt.ts';

// Stands for the agent in a test that kills it: asks libvirt once more when told to, says which process does so, and waits.
const never = new AbortController().signal;
const hypervisor = new LibvirtHypervisor({
  uri: process.argv[2] ?? '',
  callTimeoutMs: 60_000,
  nodeDefaults: () => ({
    accelerator: 'tcg',
    defaultMachineType: 'q35',
    defaultCpuModel: 'qemu64',
    consoleDirectory: '/tmp',
  }),
});
await waitFor('it is connected', () => answers(hypervisor));
process.stdout.write('connected\n');
await once(process.stdin, 'data');
const asked = hypervisor.domains.list(never);
// The driver process answers in order, so it has the call by now.
const { pid } = await hypervisor.diagnose(never);
process.stdout.write(`${pid}\n`);
await asked;
