import type { Host } from '../../../../src/cli/doctor/host.ts';

/** A machine on which nothing is there but what is given. */
export function fakeHost(given: Partial<Host> = {}): Host {
  return {
    findText: async () => undefined,
    findInfo: async () => undefined,
    listFiles: async () => undefined,
    isLocal: async () => true,
    openReadWrite: async () => undefined,
    isExecutable: async () => true,
    space: async () => ({ freeBytes: 2 ** 40, freeInodes: 1e6 }),
    connectUnix: async () => undefined,
    run: async () => undefined,
    userId: () => 0,
    folderProblem: async () => undefined,
    localAddresses: () => ['127.0.0.1', '10.0.0.1'],
    listProcesses: async () => [],
    ...given,
  };
}
