import type { WatchCursor } from '../gen/novacron/agent/v1/common.ts';
import {
  CancelMigrationRequest,
  type DeepPartial,
  GetMigrationRequest,
  ListMigrationsRequest,
  type ListMigrationsResponse,
  type Migration,
  MigrationServiceService,
  type MigrationSpec,
  PlanMigrationRequest,
  type PlanMigrationResponse,
  SettleMigrationRequest,
  StartMigrationRequest,
  WatchMigrationsRequest,
} from '../gen/novacron/agent/v1/migration.ts';
import type { CallOptions, Connection, StreamOptions } from './connection.ts';
import { allPages } from './pages.ts';
import { required } from './required.ts';
import type { WatchMessage } from './watch.ts';

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
  async start(
    id: string,
    spec: MigrationSpecInput,
    options: CallOptions & { readonly labels?: Readonly<Record<string, string>> | undefined },
  ): Promise<Migration> {
    const { labels = {} } = options;
    const response = await this.#connection.unary(
      MigrationServiceService.startMigration,
      StartMigrationRequest.create({ id, spec, labels }),
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

  /** Newest first. One page if `pageSize` is given. */
  list(
    filter: DeepPartial<ListMigrationsRequest>,
    options: CallOptions,
  ): Promise<ListMigrationsResponse> {
    return this.#connection.unary(
      MigrationServiceService.listMigrations,
      ListMigrationsRequest.create(filter),
      options,
    );
  }

  /** All migrations, newest first, a page at a time. */
  async *listAll(
    filter: DeepPartial<ListMigrationsRequest>,
    options: CallOptions,
  ): AsyncGenerator<Migration, void, undefined> {
    for await (const page of allPages((part) => this.list({ ...filter, ...part }, options))) {
      yield* page.migrations;
    }
  }

  /** One watch, as the agent serves it; `watchMigrations` goes on after a lost connection. */
  async *watch(
    filter: {
      readonly id: string;
      readonly labelSelector: string;
      readonly cursor: WatchCursor | undefined;
    },
    options: StreamOptions,
  ): AsyncGenerator<WatchMessage<Migration>, void, undefined> {
    const request = WatchMigrationsRequest.create();
    for await (const { type, migration, origin } of this.#connection.stream(
      MigrationServiceService.watchMigrations,
      { ...request, ...filter },
      options,
    )) {
      yield { type, object: migration, origin };
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

  /** By the caller's word that the other node is off for good. Fails with MIGRATION_NOT_WAITING where nobody waits for it. */
  async settle(id: string, offNode: string, options: CallOptions): Promise<Migration> {
    const response = await this.#connection.unary(
      MigrationServiceService.settleMigration,
      SettleMigrationRequest.create({ id, offNode }),
      options,
    );
    return required(response.migration, 'migration');
  }
}
