import type { Node, NodeService } from '../../src/agent/node/node.ts';
import { ORIGIN, untilAbort } from './fake-vm-service.ts';

export const NODE: Node = {
  name: 'node-a',
  uid: '',
  agentVersion: '0.1.0',
  peerProtocolMin: 1,
  peerProtocolMax: 1,
  advertiseAddress: '10.0.0.1:7443',
  hypervisorConnected: false,
  hypervisor: undefined,
  accelerator: 'tcg',
  operatingSystem: { prettyName: 'Debian', kernelRelease: '6.1', hostname: 'a' },
  capacity: { cpus: 4, memoryBytes: 2 ** 33 },
  allocated: { cpus: 1, memoryBytes: 2 ** 30 },
  conditions: [],
  runningVms: 1,
  agentStartedAtMs: 1_790_000_000_000,
  origin: ORIGIN,
};

export class FakeNodeService implements NodeService {
  async get(): Promise<Node> {
    return NODE;
  }

  async *watch(signal: AbortSignal): AsyncGenerator<Node, void, undefined> {
    yield NODE;
    await untilAbort(signal);
  }
}
