import type {
  Migration,
  MigrationPlan,
  MigrationService,
  MigrationSpec,
} from '../../src/agent/migration/migration.ts';
import { ORIGIN } from './fake-vm-service.ts';

export const MIGRATION_ID = '7a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d3';

export const MIGRATION_SPEC: MigrationSpec = {
  vm: { namespace: 'default', name: 'web', uid: undefined },
  destinationNode: 'node-b',
  destinationAddress: '10.0.0.2:7443',
  maxDowntimeMs: 100,
  bandwidthBytesPerSecond: 0,
  timeoutMs: undefined,
};

export function makeMigration(changes: Partial<Migration> = {}): Migration {
  return {
    id: MIGRATION_ID,
    spec: MIGRATION_SPEC,
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
    },
    result: undefined,
    phases: [{ phase: 'preparing', startedAtMs: 1_790_000_000_123 }],
    transport: 'stream',
    origin: ORIGIN,
    ...changes,
  };
}

/** Answers with one migration, and remembers what it was asked. */
export class FakeMigrationService implements MigrationService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  planned: MigrationPlan = { blockers: [], transport: 'stream', memoryBytes: 1_000 };

  async plan(spec: MigrationSpec): Promise<MigrationPlan> {
    this.calls.push({ method: 'plan', argument: spec });
    return this.planned;
  }

  async start(id: string, spec: MigrationSpec): Promise<Migration> {
    this.calls.push({ method: 'start', argument: { id, spec } });
    return makeMigration({ id, spec });
  }

  async get(id: string): Promise<Migration> {
    this.calls.push({ method: 'get', argument: id });
    return makeMigration({ id });
  }

  async list(filter: { readonly activeOnly: boolean }): Promise<readonly Migration[]> {
    this.calls.push({ method: 'list', argument: filter });
    return [makeMigration()];
  }

  async *watch(id: string): AsyncGenerator<Migration, void, undefined> {
    this.calls.push({ method: 'watch', argument: id });
    yield makeMigration({ id });
    yield makeMigration({ id, phase: 'completed', endedAtMs: 1_790_000_001_000 });
  }

  async cancel(id: string): Promise<Migration> {
    this.calls.push({ method: 'cancel', argument: id });
    return makeMigration({ id, phase: 'cancelled' });
  }
}
