import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Migration } from '../migration/migration.ts';

const ROLES = ['source', 'destination'] as const;
const RESULTS = ['completed', 'failed', 'cancelled'] as const;

type ActiveMigrations = (role: Migration['role']) => number;

/** Migrations that left this node; a destination counts only while it receives. */
export class MigrationMetrics {
  readonly #total: Counter<'result'>;
  readonly #duration: Histogram;
  readonly #downtime: Histogram;
  readonly #wireBytes: Counter;
  readonly #memoryBytes: Counter;

  constructor(registry: Registry, active: ActiveMigrations) {
    const registers = [registry];
    this.#total = new Counter({
      name: 'novacron_migration_total',
      help: 'Migrations from this node that have ended, by result',
      labelNames: ['result'],
      registers,
    });
    for (const result of RESULTS) this.#total.inc({ result }, 0);
    registry.registerMetric(
      new Gauge({
        name: 'novacron_migration_active',
        help: 'Migrations that go on, by the role of this node',
        labelNames: ['role'],
        registers: [],
        collect() {
          for (const role of ROLES) this.set({ role }, active(role));
        },
      }),
    );
    this.#duration = new Histogram({
      name: 'novacron_migration_duration_seconds',
      help: 'Duration of completed migrations from this node',
      buckets: [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600],
      registers,
    });
    this.#downtime = new Histogram({
      name: 'novacron_migration_downtime_seconds',
      help: 'Time for which the guest stood still in completed migrations from this node',
      buckets: [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10],
      registers,
    });
    this.#wireBytes = new Counter({
      name: 'novacron_migration_wire_bytes_total',
      help: 'Encrypted bytes on the network of ended migrations from this node',
      registers,
    });
    this.#memoryBytes = new Counter({
      name: 'novacron_migration_memory_bytes_total',
      help: 'Guest memory that ended migrations from this node have moved',
      registers,
    });
  }

  /** Call once, when a migration has reached its final phase. */
  ended(migration: Migration): void {
    if (migration.role !== 'source') return;
    const result = RESULTS.find((name) => name === migration.phase);
    if (result === undefined) return;
    this.#total.inc({ result });
    const { progress, result: measured } = migration;
    this.#wireBytes.inc(Number(measured?.wireBytes ?? progress.wireBytes ?? 0));
    const memoryBytes = measured?.memoryProcessedBytes ?? progress.memoryProcessedBytes ?? 0;
    this.#memoryBytes.inc(Number(memoryBytes));
    if (result !== 'completed') return;
    // What nobody has measured is no measurement of 0.
    if (measured?.totalMs !== undefined) this.#duration.observe(measured.totalMs / 1000);
    if (measured?.downtimeMs !== undefined) this.#downtime.observe(measured.downtimeMs / 1000);
  }
}
