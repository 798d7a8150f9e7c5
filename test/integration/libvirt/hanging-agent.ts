import { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';

/** Stands for the agent in a test that kills it: prints its driver's pid and keeps asking libvirt. */
const never = new AbortController().signal;
const hypervisor = new LibvirtHypervisor({
  uri: process.argv[2] ?? '',
  callTimeoutMs: 60_000,
  nodeDefaults: {
    accelerator: 'tcg',
    defaultMachineType: 'q35',
    defaultCpuModel: 'qemu64',
    consoleDirectory: '/tmp',
  },
});
const { pid } = await hypervisor.diagnose(never);
process.stdout.write(`${pid}\n`);
for (;;) await hypervisor.domains.list(never);
