import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

// https://grpc.github.io/grpc/core/md_doc_statuscodes.html; the position is the number.
const CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** Calls of our API, by whoever answers them. */
export class RpcMetrics {
  readonly #requests: Counter<'method' | 'code'>;
  readonly #duration: Histogram<'method'>;
  readonly #inFlight: Gauge<'method'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Counter({
      name: 'novacron_grpc_requests_total',
      help: 'Calls of the API that have ended, by method and status code',
      labelNames: ['method', 'code'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'novacron_grpc_request_duration_seconds',
      help: 'Duration of calls of the API; a watch lasts as long as its watcher',
      labelNames: ['method'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'novacron_grpc_requests_in_flight',
      help: 'Calls of the API that go on',
      labelNames: ['method'],
      registers,
    });
  }

  callStarted(method: string): void {
    this.#inFlight.inc({ method });
  }

  callEnded(call: {
    readonly method: string;
    readonly code: number;
    readonly durationMs: number;
  }): void {
    const { method } = call;
    this.#inFlight.dec({ method });
    this.#requests.inc({ method, code: CODES[call.code] ?? 'UNKNOWN' });
    this.#duration.observe({ method }, call.durationMs / 1000);
  }
}

/** Calls that we make to the hypervisor. */
export class HypervisorMetrics {
  readonly #calls: Counter<'call' | 'outcome'>;

  constructor(registry: Registry, connected: () => boolean) {
    const registers = [registry];
    this.#calls = new Counter({
      name: 'novacron_hypervisor_calls_total',
      help: 'Calls to the hypervisor, by outcome: ok or the reason of the failure',
      labelNames: ['call', 'outcome'],
      registers,
    });
    registry.registerMetric(
      new Gauge({
        name: 'novacron_hypervisor_connected',
        help: 'Whether the hypervisor is connected',
        registers: [],
        collect() {
          this.set(connected() ? 1 : 0);
        },
      }),
    );
  }

  /** `outcome` is `ok` or the reason of an AgentError. */
  callEnded(call: string, outcome: string): void {
    this.#calls.inc({ call, outcome });
  }
}
