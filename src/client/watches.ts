import type { Event } from '../gen/novacron/agent/v1/event.ts';
import { type Migration, MigrationPhase } from '../gen/novacron/agent/v1/migration.ts';
import type { Node, NodeShutdown } from '../gen/novacron/agent/v1/node.ts';
import type { Operation } from '../gen/novacron/agent/v1/operation.ts';
import type { VirtualMachine } from '../gen/novacron/agent/v1/virtual_machine.ts';
import type { AgentClient } from './agent-client.ts';
import type { EventFilter } from './event-calls.ts';
import type { OperationListFilter } from './operation-calls.ts';
import { type ResumeOptions, resume } from './resume.ts';
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

/** The operations that go on and the latest that have ended; only those of a VM or a namespace if one is given. */
export function watchOperations(
  client: AgentClient,
  options: ResumeOptions & Pick<OperationListFilter, 'virtualMachine' | 'namespace'>,
): AsyncGenerator<ResourceEvent<Operation>, void, undefined> {
  const { virtualMachine, namespace } = options;
  return watchResource(
    {
      open: (cursor) => client.operations.watch({ virtualMachine, namespace, cursor }, options),
      keyOf: (operation) => operation.id,
      contentOf: (operation) => ({ ...operation, origin: undefined }),
    },
    options,
  );
}

/** The latest events, then each that happens; only those of a VM, a namespace or a type if one is given. */
export function watchEvents(
  client: AgentClient,
  options: ResumeOptions & EventFilter,
): AsyncGenerator<ResourceEvent<Event>, void, undefined> {
  const { virtualMachine, namespace, type } = options;
  return watchResource(
    {
      open: (cursor) => client.events.watch({ virtualMachine, namespace, type, cursor }, options),
      keyOf: (event) => event.id,
      contentOf: (event) => ({ ...event, origin: undefined }),
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

/**
 * The shutdown of a node as it was begun, then as it goes on, until no more becomes of its VMs, over restarts of the agent;
 * undefined at last if it was called off.
 */
export async function* followShutdown(
  client: AgentClient,
  begun: NodeShutdown,
  options: ResumeOptions,
): AsyncGenerator<NodeShutdown | undefined, void, undefined> {
  let isFirst = true;
  const open = async function* (): AsyncGenerator<NodeShutdown | undefined, void, undefined> {
    // So that an agent that is lost before it has told anything is waited for too.
    if (isFirst) yield begun;
    isFirst = false;
    for await (const { object } of client.node.watch({ cursor: undefined }, options)) {
      if (object !== undefined) yield object.status?.shutdown;
    }
  };
  for await (const shutdown of resume(open, options)) {
    yield shutdown;
    if (shutdown === undefined || shutdown.done) return;
  }
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

/**
 * One operation as it is, then each step until it has ended, over restarts of the agent. With `begun`, what is known of it
 * already, an agent that is lost before it has told anything is waited for too.
 */
export async function* followOperation(
  client: AgentClient,
  id: string,
  options: ResumeOptions & { readonly begun?: Operation | undefined },
): AsyncGenerator<Operation, void, undefined> {
  let { begun } = options;
  const open = async function* (): AsyncGenerator<Operation, void, undefined> {
    // A watch says nothing of one that ended long ago, or before the agent was started anew.
    yield begun ?? (await client.operations.get(id, options));
    begun = undefined;
    for await (const { object } of client.operations.watch({ id }, options)) {
      if (object !== undefined) yield object;
    }
  };
  for await (const operation of resume(open, options)) {
    yield operation;
    if (hasEnded(operation)) return;
  }
}

function hasEnded({ endTime }: Operation): boolean {
  return endTime !== undefined;
}
