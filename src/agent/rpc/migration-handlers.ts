import { parseLabelSelector } from '../../core/label-selector.ts';
import type {
  MigrationServiceService,
  MigrationSpec as MigrationSpecMessage,
} from '../../gen/novacron/agent/v1/migration.ts';
import type { MigrationService, MigrationSpec } from '../migration/migration.ts';
import { authorizeAddress } from './authorization.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { fromCursor, fromPage, toOrigin } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import {
  fromMigrationSpec,
  toMigration,
  toPlan,
  toWatchMigrationsResponse,
} from './migration-conversion.ts';
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
      const labels = checks.labels('labels', request.labels);
      const spec = readSpec(request.spec, checks, context);
      context.about({ migrationId: id });
      const requestedBy = context.caller.identity;
      const wanted = { id, spec, labels, requestedBy };
      const started = await migrations.start(wanted, context.signal);
      return { migration: toMigration(started) };
    },

    async getMigration(request, context) {
      const id = readId(request.id, context);
      return { migration: toMigration(await migrations.get(id, context.signal)) };
    },

    async listMigrations(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      const vmUid = checks.optionalUuid('virtualMachineUid', request.virtualMachineUid);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot list migrations');
      const labels = parseLabelSelector(request.labelSelector);
      const filter = { activeOnly: request.activeOnly, id: undefined, vmUid, labels };
      const list = await migrations.list(filter, page, signal);
      return {
        migrations: list.items.map(toMigration),
        origin: toOrigin(list.origin),
        nextPageToken: list.nextToken,
      };
    },

    async *watchMigrations(request, context) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      const id = checks.optionalUuid('id', request.id);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot watch migrations');
      if (id !== undefined) context.about({ migrationId: id });
      const labels = parseLabelSelector(request.labelSelector);
      const filter = { activeOnly: false, id, vmUid: undefined, labels };
      for await (const event of migrations.watch(filter, cursor, context.signal)) {
        yield toWatchMigrationsResponse(event);
      }
    },

    async cancelMigration(request, context) {
      const id = readId(request.id, context);
      return { migration: toMigration(await migrations.cancel(id, context.signal)) };
    },

    async settleMigration(request, context) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      const offNode = checks.dnsName('offNode', request.offNode);
      context.about({ migrationId: id, peer: offNode });
      checks.throwIfAny(
        'INVALID_REQUEST',
        'Cannot settle a migration unless the caller says which node is off for good',
      );
      const said = { id, offNode, saidBy: context.caller.identity };
      return { migration: toMigration(await migrations.settle(said, context.signal)) };
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
  const { trustedVolumes = [] } = spec;
  const trusted = trustedVolumes.length > 0 ? { trustShared: trustedVolumes.join(',') } : {};
  context.about({ ...vmFields(spec.vm), peer: spec.destinationNode, ...trusted });
  if (spec.destinationAddress !== undefined) {
    context.about({ address: spec.destinationAddress });
    authorizeAddress(context.caller);
  }
  return spec;
}
