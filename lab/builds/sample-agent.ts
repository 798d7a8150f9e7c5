import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import {
  ListVirtualMachinesResponse,
  VirtualMachineServiceService,
} from '../../src/gen/novacron/agent/v1/virtual_machine.ts';

const TIME = '2026-01-01T00:00:00.000Z';

/** Has what most VMs have. */
const MANIFEST = {
  metadata: { name: 'web', labels: { app: 'web' } },
  spec: {
    running: true,
    template: {
      spec: {
        resources: { cpu: 1, memory: '1Gi' },
        volumes: [{ name: 'root', format: 'qcow2', source: { file: { path: '/web.qcow2' } } }],
        networks: [{ name: 'lan', type: 'bridge', bridge: 'br0' }],
      },
    },
  },
};

const { listVirtualMachines } = VirtualMachineServiceService;

/** Lists one VM, always the same, to whoever asks at the address. */
export async function serveSampleVm(address: string): Promise<Disposable> {
  const answer = ListVirtualMachinesResponse.create({ virtualMachines: [sampleVm()] });
  const server = new Server();
  server.addService(
    { listVirtualMachines },
    {
      listVirtualMachines: (_: unknown, done: sendUnaryData<ListVirtualMachinesResponse>) =>
        done(null, answer),
    },
  );
  const bound = Promise.withResolvers<void>();
  server.bindAsync(address, ServerCredentials.createInsecure(), (error) =>
    error === null ? bound.resolve() : bound.reject(error),
  );
  await bound.promise;
  return { [Symbol.dispose]: () => server.forceShutdown() };
}

function sampleVm() {
  const { metadata, spec } = parseVirtualMachine(MANIFEST);
  const share = { used: '1', available: '1' };
  return toVirtualMachineMessage({
    metadata: { ...metadata, creationTimestamp: TIME },
    spec,
    status: {
      phase: 'Running',
      reason: 'Booted',
      nodeName: 'node-a',
      ipAddresses: ['192.0.2.1'],
      resources: { cpu: share, memory: share },
      conditions: [
        { type: 'Ready', status: 'True', reason: 'Booted', lastTransitionTime: TIME },
        { type: 'LiveMigratable', status: 'False', reason: 'DiskLocal', lastTransitionTime: TIME },
      ],
      volumes: [{ name: 'root', target: 'vda', path: '/web.qcow2', format: 'qcow2' }],
      interfaces: [{ name: 'lan', bridge: 'br0', model: 'virtio' }],
      ownershipEpoch: 1,
      statistics: {
        cpuTimeNs: 1,
        cpuUsageCores: 0.5,
        vcpus: 1,
        memoryActualBytes: 1,
        memoryRssBytes: 1,
        diskReadBytes: 1,
        diskWriteBytes: 1,
        networkReceiveBytes: 1,
        networkTransmitBytes: 1,
      },
      runningSince: TIME,
      origin: { nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1, revision: 1 },
    },
  });
}
