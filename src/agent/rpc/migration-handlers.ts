import type {
  MigrationServiceService,
  MigrationSpec as MigrationSpecMessage,
} from '../../gen/novacron/agent/v1/migration.ts';
import type { MigrationService, MigrationSpec } from '../migration/migration.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { FieldChecks } from './field-checks.ts';
import { fromMigrationSpec, toMigration, toPlan } from './migration-conversion.ts';
import { vmFields } from './virtual-machine-conversion.ts';

export function migrationHandlers(
  migrations: MigrationService,
): ServiceHandlers<MigrationServiceService> {
  return {
    async planMigration({ spec }, context) {
      const wanted = readSpec(spec, new FieldChecks(), context);
      return toPlan(await migrations.plan(wanted, context.signal));
    },

    async startMigration(request, context) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      const spec = readSpec(request.spec, checks, context);
      context.about({ migrationId: id });
      return { migration: toMigration(await migrations.start(id, spec, context.signal)) };
    },

    async getMigration(request, context) {
      const id = readId(request.id, context);
      return { migration: toMigration(await migrations.get(id, context.signal)) };
    },

    async listMigrations({ activeOnly }, { signal }) {
      const found = await migrations.list({ activeOnly }, signal);
      return { migrations: found.map(toMigration) };
    },

    async *watchMigration(request, context) {
      const id = readId(request.id, context);
      for await (const migration of migrations.watch(id, context.signal)) {
        yield { migration: toMigration(migration) };
      }
    },

    async cancelMigration(request, context) {
      const id = readId(request.id, context);
      return { migration: toMigration(await migrations.cancel(id, context.signal)) };
    },
  };
}

function readId(id: string, context: CallContext): string {
  const checks = new FieldChecks();
  checks.uuid('id', id);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which migration is meant');
  context.about({ migrationId: id });
  return id;
}

function readSpec(
  message: MigrationSpecMessage | undefined,
  checks: FieldChecks,
  context: CallContext,
): MigrationSpec {
  const spec = fromMigrationSpec(message, checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot migrate');
  context.about({ ...vmFields(spec.vm), peer: spec.destinationNode });
  return spec;
}
