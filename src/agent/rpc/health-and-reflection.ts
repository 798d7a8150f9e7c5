import { fileURLToPath } from 'node:url';
import type { Server } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';

// The same from src/agent/rpc and from dist/agent/rpc.
const PROTO_DIRECTORY = fileURLToPath(new URL('../../../proto', import.meta.url));

const PACKAGE = 'novacron.agent.v1';
const FILES = ['virtual_machine', 'migration', 'node', 'peer'];
const SERVICES = ['VirtualMachineService', 'MigrationService', 'NodeService', 'PeerService'].map(
  (name) => `${PACKAGE}.${name}`,
);

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
  const definition = loadSync(
    FILES.map((name) => `novacron/agent/v1/${name}.proto`),
    { includeDirs: [PROTO_DIRECTORY] },
  );
  new ReflectionService(definition, { services: SERVICES }).addToServer(server);
}
