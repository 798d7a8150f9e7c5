import type {
  Migration,
  MigrationFilter,
  MigrationPlan,
  MigrationService,
  MigrationSpec,
  SettleRequest,
  StartRequest,
} from '../../src/agent/migration/migration.ts';
import { isFinal } from '../../src/agent/migration/states.ts';
import { pageOf } from '../../src/agent/reports/paging.ts';
import type { Page, PageRequest, WatchCursor, WatchEvent } from '../../src/agent/reports/report.ts';
import { ReportOriginSource } from '../../src/agent/reports/report-origin-source.ts';
import { WatchedSet } from '../../src/agent/reports/watched-set.ts';
import { AgentError } from '../../src/core/errors.ts';
import { matchesLabels } from '../../src/core/label-selector.ts';
import { NODE_BOOT, ORIGIN } from './fake-vm-service.ts';

export const MIGRATION_ID = '7a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d3';

export const MIGRATION_SPEC: MigrationSpec = {
  vm: { namespace: 'default', name: 'web', uid: undefined },
  destinationNode: 'node-b',
  destinationAddress: '10.0.0.2:7443',
  maxDowntimeMs: 100,
  bandwidthBitsPerSecond: 250_000_000,
  timeoutMs: undefined,
  trustedVolumes: [],
};

export function makeMigration(changes: Partial<Migration> = {}): Migration {
  return {
    id: MIGRATION_ID,
    spec: MIGRATION_SPEC,
    labels: { reason: 'drain' },
    role: 'source',
    sourceNode: 'node-a',
    destinationNode: 'node-b',
    phase: 'copying',
    reason: undefined,
    message: '',
    startedAtMs: 1_790_000_000_123,
    endedAtMs: undefined,
    progress: {
      memoryTotalBytes: 1_000n,
      memoryProcessedBytes: 500n,
      memoryRemainingBytes: 500n,
      memoryBytesPerSecond: 100n,
      dirtyBytesPerSecond: 10n,
      iteration: 1,
      wireBytes: 300n,
      estimatedMsLeft: 1_500,
      fractionDone: 0.5,
      stalledMs: 0,
      channels: [],
    },
    result: undefined,
    phases: [{ phase: 'preparing', startedAtMs: 1_790_000_000_123 }],
    transport: 'stream',
    mode: 'precopy',
    origin: ORIGIN,
    ...changes,
  };
}

/** Knows one migration at first, and remembers what it was asked. Lists and watches are those of the agent. */
export class FakeMigrationService implements MigrationService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  planned: MigrationPlan = { blockers: [], images: [], transport: 'stream', memoryBytes: 1_000 };
  readonly #origins = new ReportOriginSource({ ...NODE_BOOT, agentEpoch: ORIGIN.agentEpoch });
  readonly #migrations = new WatchedSet<Migration>(this.#origins);

  constructor() {
    this.put(makeMigration());
  }

  /** Adds or replaces a migration and tells the watchers. */
  put(migration: Migration): Migration {
    return this.#migrations.put(migration.id, migration);
  }

  async plan(spec: MigrationSpec): Promise<MigrationPlan> {
    this.calls.push({ method: 'plan', argument: spec });
    return this.planned;
  }

  async start(request: StartRequest): Promise<Migration> {
    this.calls.push({ method: 'start', argument: request });
    return this.put(makeMigration(request));
  }

  async get(id: string): Promise<Migration> {
    this.calls.push({ method: 'get', argument: id });
    return this.#find(id);
  }

  async list(filter: MigrationFilter, page: PageRequest): Promise<Page<Migration>> {
    this.calls.push({ method: 'list', argument: { filter, page } });
    const matching = [...this.#migrations.values()].filter(matcher(filter));
    return pageOf(
      matching.toSorted((left, right) => (left.id < right.id ? -1 : 1)),
      page,
      {
        keyOf: ({ id }) => id,
        isAfter: (key, other) => key > other,
        filter,
        origin: this.#origins.current(),
      },
    );
  }

  async *watch(
    filter: MigrationFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Migration>, void, undefined> {
    this.calls.push({ method: 'watch', argument: { filter, cursor } });
    if (filter.id !== undefined) this.#find(filter.id);
    yield* this.#migrations.watch(matcher(filter), cursor, signal);
  }

  async cancel(id: string): Promise<Migration> {
    this.calls.push({ method: 'cancel', argument: id });
    return makeMigration({ id, phase: 'cancelled' });
  }

  async settle(request: SettleRequest): Promise<Migration> {
    this.calls.push({ method: 'settle', argument: request });
    return makeMigration({ id: request.id, phase: 'failed', reason: 'MIGRATION_FAILED' });
  }

  #find(id: string): Migration {
    const migration = this.#migrations.get(id);
    if (migration !== undefined) return migration;
    throw new AgentError('MIGRATION_NOT_FOUND', `This node knows no migration ${id}`);
  }
}

function matcher({ id, activeOnly, labels }: MigrationFilter): (migration: Migration) => boolean {
  return (migration) =>
    (id === undefined || migration.id === id) &&
    (!activeOnly || !isFinal(migration.phase)) &&
    matchesLabels(labels, migration.labels);
}
