import { once, setMaxListeners } from 'node:events';
import { AgentError } from '../../core/errors.ts';
import {
  HealthCheckResponse,
  type HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../gen/grpc/health/v1/health.ts';
import type { ServiceHandlers } from './bind-service.ts';

const SERVICES = [
  // The agent as a whole.
  '',
  'novacron.agent.v1.VirtualMachineService',
  'novacron.agent.v1.ConsoleService',
  'novacron.agent.v1.GuestService',
  'novacron.agent.v1.MigrationService',
  'novacron.agent.v1.OperationService',
  'novacron.agent.v1.EventService',
  'novacron.agent.v1.ImageService',
  'novacron.agent.v1.NodeService',
  'novacron.peer.v1.PeerService',
];

/**
 * Readiness as grpc.health.v1, overall under the empty name, and by service:
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md.
 */
export class Health {
  #status: ServingStatus = ServingStatus.NOT_SERVING;
  readonly #changes = new EventTarget();

  constructor() {
    // One for each watcher, of whom there may be many.
    setMaxListeners(0, this.#changes);
  }

  setReady(ready: boolean): void {
    const status = ready ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
    if (status === this.#status) return;
    this.#status = status;
    this.#changes.dispatchEvent(new Event('change'));
  }

  handlers(): ServiceHandlers<typeof HealthService> {
    return {
      check: async ({ service }) => {
        if (SERVICES.includes(service)) return { status: this.#status };
        throw new AgentError(
          'SERVICE_NOT_FOUND',
          `There is no service ${service}; those of this agent are ${SERVICES.slice(1).join(', ')}, and the empty name is the agent as a whole`,
        );
      },
      list: async () => ({
        statuses: Object.fromEntries(
          SERVICES.map((service) => [
            service,
            HealthCheckResponse.create({ status: this.#status }),
          ]),
        ),
      }),
      watch: ({ service }, { signal }) => this.#watch(service, signal),
    };
  }

  /** A service that is not known may become so with another agent, so its watchers wait. */
  async *#watch(service: string, signal: AbortSignal): AsyncIterable<HealthCheckResponse> {
    const isKnown = SERVICES.includes(service);
    for (;;) {
      const status = isKnown ? this.#status : ServingStatus.SERVICE_UNKNOWN;
      // Waits from before the status is told on, as it may change meanwhile.
      const changed = once(this.#changes, 'change', { signal });
      changed.catch(() => undefined);
      yield { status };
      await changed;
    }
  }
}
