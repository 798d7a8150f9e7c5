import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { FILE_DESCRIPTORS } from '../../gen/file-descriptors.ts';

const SERVICES = [
  'novacron.agent.v1.VirtualMachineService',
  'novacron.agent.v1.MigrationService',
  'novacron.agent.v1.OperationService',
  'novacron.agent.v1.NodeService',
  'novacron.peer.v1.PeerService',
];

/** Readiness as grpc.health.v1: overall under the empty name, and by service. */
export class Health {
  readonly #implementation = new HealthImplementation();

  constructor(server: Server) {
    this.setReady(false);
    this.#implementation.addToServer(server);
  }

  setReady(ready: boolean): void {
    for (const service of ['', ...SERVICES]) {
      this.#implementation.setStatus(service, ready ? 'SERVING' : 'NOT_SERVING');
    }
  }
}

/** Lets callers such as grpcurl learn the API from the agent. */
export function addReflection(server: Server): void {
  const fileDescriptorProtos = FILE_DESCRIPTORS.map((text) => Buffer.from(text, 'base64'));
  // Nothing but the files of a definition is looked at.
  const files = {
    format: 'Protocol Buffer 3 EnumDescriptorProto',
    type: {},
    fileDescriptorProtos,
  } as const;
  new ReflectionService({ files }, { services: SERVICES }).addToServer(server);
}
