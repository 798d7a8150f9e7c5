import type { HostFacts } from '../../src/drivers/host.ts';

/** A machine that there is not. */
export function fakeHost(changes: Partial<HostFacts> = {}): HostFacts {
  return {
    bootId: 'boot',
    cpus: 4,
    cpuNumbers: [0, 1, 2, 3],
    memoryBytes: 1024 ** 3,
    hugepages: {},
    hostname: 'fake',
    operatingSystem: () => 'Fake Linux 1',
    kernelRelease: '1.0.0',
    ...changes,
  };
}
