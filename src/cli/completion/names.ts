import type { AgentClient } from '../../client/agent-client.ts';
import { readContexts, resolveTarget, type TargetChoice } from '../connection/contexts.ts';
import type { CliIo } from '../process/cli-io.ts';
import { migrationPhaseWord, migrationVmName } from '../views/migration-view.ts';
import { operationKindWord, operationStateWord, operationVmName } from '../views/operation-view.ts';
import { phaseWord, vmDocument, vmName } from '../views/vm-view.ts';
import type { Candidate, NameKind } from './completion.ts';

/** Nobody waits longer for a Tab. */
const DEADLINE_MS = 2_000;

/** The names of what there is; none if the agent does not answer in time. */
export async function findNames(
  io: CliIo,
  of: NameKind,
  words: readonly string[],
): Promise<readonly Candidate[]> {
  const choice = targetChoice(words);
  if (of === 'context') {
    const { contexts } = await readContexts(choice.config ?? io.env['NOVACTL_CONFIG']);
    return Object.entries(contexts).map(([value, { address }]) => ({
      value,
      description: address,
    }));
  }
  const { AgentClient: Client } = await import('../../client/agent-client.ts');
  using client = await Client.open(await resolveTarget(choice, io.env));
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(DEADLINE_MS)]);
  // Awaited here, because returning closes the client.
  switch (of) {
    case 'migration':
      return await migrationNames(client, signal);
    case 'operation':
      return await operationNames(client, signal);
    case 'reservation':
      return await reservationNames(client, signal);
    default:
      return await vmNames(client, of, words, signal);
  }
}

async function vmNames(
  client: AgentClient,
  of: 'vm' | 'namespace',
  words: readonly string[],
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const namespace = valueOf(words, '-n') ?? valueOf(words, '--namespace');
  const { virtualMachines } = await client.vms.list(
    { namespace: of === 'vm' ? namespace : undefined },
    { signal },
  );
  if (of === 'namespace') {
    const names = new Set(virtualMachines.map((vm) => vm.metadata?.namespace ?? ''));
    return [...names].map((value) => ({ value, description: '' }));
  }
  return virtualMachines.map((vm) => ({
    // What a bare name means: a VM of the chosen namespace.
    value: vm.metadata?.namespace === (namespace ?? 'default') ? vm.metadata.name : vmName(vm),
    description: phaseWord(vmDocument(vm)),
  }));
}

async function migrationNames(
  client: AgentClient,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const { migrations } = await client.migrations.list({}, { signal });
  return migrations.map((migration) => ({
    value: migration.id,
    description: `${migrationVmName(migration)} ${migrationPhaseWord(migration.status?.phase ?? 0)}`,
  }));
}

/** The latest; nobody looks through thousands. */
async function operationNames(
  client: AgentClient,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const { operations } = await client.operations.list({ pageSize: 50 }, { signal });
  return operations.map((operation) => ({
    value: operation.id,
    description: `${operationVmName(operation)} ${operationKindWord(operation)} ${operationStateWord(operation)}`,
  }));
}

async function reservationNames(
  client: AgentClient,
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const reservations = await client.node.listReservations({ signal });
  return reservations.map(({ id: value, virtualMachine: metadata }) => ({
    value,
    description: vmName({ metadata }),
  }));
}

function targetChoice(words: readonly string[]): TargetChoice {
  return {
    node: valueOf(words, '--node'),
    // After `migrate`, `--address` is the destination's.
    address: words.includes('migrate')
      ? valueOf(words.slice(0, words.indexOf('migrate')), '--address')
      : valueOf(words, '--address'),
    config: valueOf(words, '--config'),
  };
}

/** The word after an option, unless it is still being typed. */
function valueOf(words: readonly string[], option: string): string | undefined {
  const at = words.indexOf(option);
  return at === -1 || at + 1 >= words.length - 1 ? undefined : words[at + 1];
}
