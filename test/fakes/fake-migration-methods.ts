import type { ServerWritableStream } from '@grpc/grpc-js';
import { AgentError } from '../../src/core/errors.ts';
import {
  type GetMigrationRequest,
  type ListMigrationsRequest,
  Migration,
  MigrationPhase,
  MigrationRole,
  type SettleMigrationRequest,
  type StartMigrationRequest,
  type WatchMigrationsRequest,
  type WatchMigrationsResponse,
} from '../../src/gen/novacron/agent/v1/migration.ts';
import type { FakeAgentServer } from './fake-agent-server.ts';
import { matchesSelector } from './fake-resources.ts';

/** MigrationService of a fake agent. */
export function migrationMethods(agent: FakeAgentServer) {
  const find = (id: string): Migration => {
    const migration = agent.migrations.get(id);
    if (migration !== undefined) return migration;
    throw new AgentError('MIGRATION_NOT_FOUND', `This node knows no migration ${id}`);
  };
  const move = (id: string, status: Migration['status']): Migration =>
    agent.migrations.put(id, (origin) => ({
      ...find(id),
      status: status && { ...status, origin },
    }));

  return {
    planMigration: agent.answer(() => ({
      blockers: agent.planBlockers,
      images: agent.planImages,
      transport: 'stream',
      memoryBytes: 512n * 1024n ** 2n,
    })),

    startMigration: agent.answer(({ id, spec, labels }: StartMigrationRequest) => {
      const ref = spec?.virtualMachine;
      const key = `${ref?.namespace || 'default'}/${ref?.name ?? ''}`;
      if (!agent.vms.has(key)) throw new AgentError('VM_NOT_FOUND', `There is no VM ${key}`);
      const migration = agent.migrations.put(id, (origin) =>
        Migration.create({
          id,
          labels,
          ...(spec === undefined ? {} : { spec }),
          status: {
            phase: MigrationPhase.MIGRATION_PHASE_PREPARING,
            role: MigrationRole.MIGRATION_ROLE_SOURCE,
            sourceNode: 'node-a',
            destinationNode: spec?.destination?.nodeName ?? '',
            startTime: { seconds: 1_700_000_000n, nanos: 0 },
            transport: 'stream',
            origin,
          },
        }),
      );
      return { migration };
    }),

    getMigration: agent.answer(({ id }: GetMigrationRequest) => ({ migration: find(id) })),

    listMigrations: agent.answer((request: ListMigrationsRequest) => {
      const matches = ({ labels }: Migration) => matchesSelector(request.labelSelector, labels);
      const page = agent.migrations.page(matches, request.pageSize, request.pageToken);
      return { ...page, migrations: page.items };
    }),

    watchMigrations: agent.stream(
      (call: ServerWritableStream<WatchMigrationsRequest, WatchMigrationsResponse>) => {
        const { id, labelSelector } = call.request;
        if (id !== '') find(id);
        agent.migrations.watch(
          call,
          (migration) =>
            (id === '' || migration.id === id) && matchesSelector(labelSelector, migration.labels),
          ({ object, ...event }) => ({ ...event, migration: object }),
        );
        if (id !== '') for (const step of agent.migrationSteps) move(id, step.status);
      },
    ),

    cancelMigration: agent.answer(({ id }: GetMigrationRequest) => {
      const phase = MigrationPhase.MIGRATION_PHASE_CANCELLED;
      const { status } = Migration.create({ ...find(id), status: { ...find(id).status, phase } });
      return { migration: move(id, status) };
    }),

    settleMigration: agent.answer(({ id, offNode }: SettleMigrationRequest) => {
      const { status } = find(id);
      if (status?.destinationNode !== offNode) {
        throw new AgentError('INVALID_REQUEST', `Its other node is ${status?.destinationNode}`);
      }
      const phase = MigrationPhase.MIGRATION_PHASE_FAILED;
      const endTime = { seconds: 1_700_000_100n, nanos: 0 };
      const message = `Node ${offNode} is off for good by the word of operator`;
      return { migration: move(id, { ...status, phase, endTime, message }) };
    }),
  };
}
