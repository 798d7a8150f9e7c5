import { fileURLToPath } from 'node:url';
import type { Server } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';

// The same from src/agent/rpc and from dist/agent/rpc.
const PROTO_DIRECTORY = fileURLToPath(new URL('../../../proto', import.meta.url));

const FILES = [
  'novacron/agent/v1/virtual_machine.proto',
  'novacron/agent/v1/migration.proto',
  'novacron/agent/v1/node.proto',
  'novacron/peer/v1/peer.proto',
];
const SERVICES = [
  'novacron.agent.v1.VirtualMachineService',
  'novacron.agent.v1.MigrationService',
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
  const definition = loadSync(FILES, { includeDirs: [PROTO_DIRECTORY] });
  new ReflectionService(definition, { services: SERVICES }).addToServer(server);
}
