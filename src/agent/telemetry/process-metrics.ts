import { readdirSync, readFileSync } from 'node:fs';
import { Counter, Gauge, type Registry } from 'prom-client';

const HEARTBEAT_MS = 1_000;

/** Notices when the event loop does not turn. */
export class Heartbeat implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #lastAtMs = performance.now();
  #worstLagMs = 0;

  constructor() {
    this.#timer = setInterval(() => {
      this.#worstLagMs = Math.max(this.#worstLagMs, this.lagMs());
      this.#lastAtMs = performance.now();
    }, HEARTBEAT_MS).unref();
  }

  /** How much later than it should the heart beats now. */
  lagMs(): number {
    return Math.max(0, performance.now() - this.#lastAtMs - HEARTBEAT_MS);
  }

  /** The worst since the last call. */
  takeWorstLagMs(): number {
    const worst = Math.max(this.#worstLagMs, this.lagMs());
    this.#worstLagMs = 0;
    return worst;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/**
 * The agent's own process. prom-client's defaults are not used: they wake the process a hundred times a second
 * and have names that promtool objects to.
 */
export function addProcessMetrics(registry: Registry, heartbeat: Heartbeat): void {
  const registers = [registry];
  let cpuSeconds = 0;
  registry.registerMetric(
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU time of the agent, user and system',
      registers: [],
      collect() {
        const { user, system } = process.cpuUsage();
        this.inc(Math.max(0, (user + system) / 1e6 - cpuSeconds));
        cpuSeconds = (user + system) / 1e6;
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the agent',
      registers: [],
      collect() {
        this.set(process.memoryUsage.rss());
      },
    }),
  );
  registry.registerMetric(
    new Gauge({
      name: 'process_open_fds',
      help: 'Open descriptors of the agent',
      registers: [],
      collect() {
        this.set(readdirSync('/proc/self/fd').length);
      },
    }),
  );
  new Gauge({
    name: 'process_max_fds',
    help: 'Descriptors that the agent may open',
    registers,
  }).set(maxDescriptors());
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the agent started, in seconds since 1970',
    registers,
  }).set(performance.timeOrigin / 1000);
  registry.registerMetric(
    new Gauge({
      name: 'novacron_agent_event_loop_lag_seconds',
      help: 'How long the agent was unable to do anything, at worst since the last scrape',
      registers: [],
      collect() {
        this.set(heartbeat.takeWorstLagMs() / 1000);
      },
    }),
  );
}

function maxDescriptors(): number {
  const limits = readFileSync('/proc/self/limits', 'utf8');
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? 0);
}
