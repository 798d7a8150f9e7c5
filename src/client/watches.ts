import { type Migration, MigrationPhase } from '../gen/novacron/agent/v1/migration.ts';
import type { Node } from '../gen/novacron/agent/v1/node.ts';
import type { VirtualMachine } from '../gen/novacron/agent/v1/virtual_machine.ts';
import type { AgentClient } from './agent-client.ts';
import type { ResumeOptions } from './resume.ts';
import { type ResourceEvent, watchResource } from './watch.ts';

export interface SelectorOptions extends ResumeOptions {
  /** In the syntax of Kubernetes; not given means all. */
  readonly labelSelector?: string | undefined;
}

export interface VmWatchOptions extends SelectorOptions {
  /** Empty or not given means all. */
  readonly namespace?: string | undefined;
}

/** The VMs of a node, over lost connections and restarts of its agent. */
export function watchVirtualMachines(
  client: AgentClient,
  options: VmWatchOptions,
): AsyncGenerator<ResourceEvent<VirtualMachine>, void, undefined> {
  const { namespace = '', labelSelector = '' } = options;
  return watchResource(
    {
      open: (cursor) => client.vms.watch({ namespace, labelSelector, cursor }, options),
      keyOf: (vm) => vm.metadata?.uid ?? '',
      contentOf: ({ status, ...vm }) => {
        return {
          ...vm,
          status: { ...status, origin: undefined, resources: undefined, statistics: undefined },
        };
      },
    },
    options,
  );
}

/** The migrations that a node knows; only one of them if `id` is given. */
export function watchMigrations(
  client: AgentClient,
  options: SelectorOptions & { readonly id?: string | undefined },
): AsyncGenerator<ResourceEvent<Migration>, void, undefined> {
  const { id = '', labelSelector = '' } = options;
  return watchResource(
    {
      open: (cursor) => client.migrations.watch({ id, labelSelector, cursor }, options),
      keyOf: (migration) => migration.id,
      contentOf: withoutOrigin,
    },
    options,
  );
}

export function watchNode(
  client: AgentClient,
  options: ResumeOptions,
): AsyncGenerator<ResourceEvent<Node>, void, undefined> {
  return watchResource(
    {
      open: (cursor) => client.node.watch({ cursor }, options),
      keyOf: (node) => node.metadata?.name ?? '',
      contentOf: withoutOrigin,
    },
    options,
  );
}

function withoutOrigin(object: { readonly status?: object | undefined }): unknown {
  return { ...object, status: { ...object.status, origin: undefined } };
}

/** One migration as it is, then its progress until it has ended, over restarts of the agent. */
export async function* followMigration(
  client: AgentClient,
  id: string,
  options: ResumeOptions,
): AsyncGenerator<Migration, void, undefined> {
  for await (const event of watchMigrations(client, { ...options, id })) {
    if (event.type === 'synced') continue;
    yield event.object;
    if (event.type === 'deleted' || isFinal(event.object)) return;
  }
}

function isFinal({ status }: Migration): boolean {
  return (
    status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED ||
    status?.phase === MigrationPhase.MIGRATION_PHASE_FAILED ||
    status?.phase === MigrationPhase.MIGRATION_PHASE_CANCELLED
  );
}
