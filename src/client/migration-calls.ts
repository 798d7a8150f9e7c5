import {
  CancelMigrationRequest,
  type DeepPartial,
  GetMigrationRequest,
  ListMigrationsRequest,
  type Migration,
  MigrationServiceService,
  type MigrationSpec,
  PlanMigrationRequest,
  type PlanMigrationResponse,
  StartMigrationRequest,
  WatchMigrationRequest,
} from '../gen/novacron/agent/v1/migration.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { required } from './required.ts';

export type MigrationSpecInput = DeepPartial<MigrationSpec>;

/** The calls of MigrationService; the agent must be that of the node where the VM runs. */
export class MigrationCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** What stands in the way; no blockers means that it may be started. */
  plan(spec: MigrationSpecInput, options: CallOptions): Promise<PlanMigrationResponse> {
    return this.#connection.unary(
      MigrationServiceService.planMigration,
      PlanMigrationRequest.create({ spec }),
      options,
    );
  }

  /** Answers once it is recorded; watch it to see it end. `id` is a UUID of the caller's choice. */
  async start(id: string, spec: MigrationSpecInput, options: CallOptions): Promise<Migration> {
    const response = await this.#connection.unary(
      MigrationServiceService.startMigration,
      StartMigrationRequest.create({ id, spec }),
      options,
    );
    return required(response.migration, 'migration');
  }

  async get(id: string, options: CallOptions): Promise<Migration> {
    const response = await this.#connection.unary(
      MigrationServiceService.getMigration,
      GetMigrationRequest.create({ id }),
      options,
    );
    return required(response.migration, 'migration');
  }

  /** Newest first. */
  async list(
    filter: { readonly activeOnly: boolean },
    options: CallOptions,
  ): Promise<readonly Migration[]> {
    const response = await this.#connection.unary(
      MigrationServiceService.listMigrations,
      ListMigrationsRequest.create(filter),
      options,
    );
    return response.migrations;
  }

  /** One watch, as the agent serves it; `watchMigration` goes on after a lost connection. */
  async *watch(id: string, options: StreamOptions): AsyncGenerator<Migration, void, undefined> {
    for await (const { migration } of this.#connection.stream(
      MigrationServiceService.watchMigration,
      WatchMigrationRequest.create({ id }),
      options,
    )) {
      yield required(migration, 'migration');
    }
  }

  /** The VM stays where it is. Fails with MIGRATION_PAST_SWITCHOVER when it is too late. */
  async cancel(id: string, options: CallOptions): Promise<Migration> {
    const response = await this.#connection.unary(
      MigrationServiceService.cancelMigration,
      CancelMigrationRequest.create({ id }),
      options,
    );
    return required(response.migration, 'migration');
  }
}
