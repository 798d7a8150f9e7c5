import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { AgentClient } from '../../../client/agent-client.ts';
import { type Migration, MigrationPhase } from '../../../client/api.ts';
import type { CallOptions } from '../../../client/connection.ts';
import type { MigrationSpecInput } from '../../../client/migration-calls.ts';
import { repeatWhileLost } from '../../../client/repeat-while-lost.ts';
import { mayHaveArrived } from '../../../client/status.ts';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { followMigration } from '../../../client/watches.ts';
import { AgentError, hasReason } from '../../../core/errors.ts';
import {
  connectionOptions,
  connectionWords,
  withAgent,
} from '../../connection/agent-connection.ts';
import { errorReport } from '../../errors/error-report.ts';
import type { SelectorOptions } from '../../input/selector-option.ts';
import type { NamespaceOptions } from '../../input/vm-ref.ts';
import { printList } from '../../output/output.ts';
import type { OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { EXIT_CODES, Exit, exitCodeOf, Interrupted } from '../../process/exit-codes.ts';
import { resultText } from '../../progress/progress.ts';
import { CONNECTION_LOST, patienceMs } from '../../progress/wait-for-operation.ts';
import { isOffMove, type Move, moveView, whyItStays } from '../../views/move-view.ts';
import { type VmDocument, vmDocument, vmName } from '../../views/vm-view.ts';

export interface MigrateAllOptions extends OutputOptions, NamespaceOptions, SelectorOptions {
  readonly to: string;
  readonly trustShared?: readonly string[];
  readonly label?: Readonly<Record<string, string>>;
  readonly wait: boolean;
}

/** They share the link, and each is over sooner if few go at once. */
const AT_ONCE = 3;

/** Moves the VMs of a node that can be moved, and says of each what became of it. */
export async function migrateAll(
  io: CliIo,
  command: Command,
  options: MigrateAllOptions,
  specOf: (vm: VmRefInput) => MigrationSpecInput,
): Promise<void> {
  const moves: Move[] = [];
  await withAgent(io, command, async (client, call) => {
    const mover = new Mover({ io, command, client, call, options, specOf });
    const vms = (await listVms(client, call, options)).values();
    // Each takes the next one until there is none left.
    const workers = Array.from({ length: AT_ONCE }, async () => {
      for (const vm of vms) moves.push(await mover.move(vm));
    });
    await Promise.all(workers);
  });
  moves.sort((left, right) => (vmName(left.vm) < vmName(right.vm) ? -1 : 1));
  await printList(io, options.output, moveView(Date.now()), moves, 'There are no VMs to move');
  if (moves.some(({ outcome }) => outcome === 'goes-on' || outcome === 'may-go-on')) {
    const chosen = connectionWords(connectionOptions(command));
    io.stderr.write(`What was begun goes on: novactl migration list${chosen}\n`);
  }
  const code = codeOf(io, moves);
  if (code !== EXIT_CODES.ok) throw new Exit(code);
}

/** They are what is meant, whatever is made while they are moved. */
export async function listVms(
  client: AgentClient,
  call: CallOptions,
  { namespace = '', selector = '' }: NamespaceOptions & SelectorOptions,
): Promise<readonly VmDocument[]> {
  return Array.fromAsync(
    client.vms.listAll({ namespace, labelSelector: selector }, call),
    vmDocument,
  );
}

export function refOf({ metadata }: VmDocument): VmRefInput {
  const { namespace = '', name = '', uid = '' } = metadata ?? {};
  return { namespace, name, uid };
}

function codeOf({ signal }: CliIo, moves: readonly Move[]) {
  if (signal.aborted) return EXIT_CODES.interrupted;
  if (moves.some(({ outcome }) => outcome === 'failed')) return EXIT_CODES.failure;
  const refused = moves.find(({ error }) => error !== undefined)?.error;
  if (refused !== undefined) return exitCodeOf(refused);
  const isLeft = moves.some((move) => move.outcome === 'stays' && !isOffMove(move));
  return isLeft ? EXIT_CODES.refused : EXIT_CODES.ok;
}

interface MoverOptions {
  readonly io: CliIo;
  readonly command: Command;
  readonly client: AgentClient;
  readonly call: CallOptions;
  readonly options: MigrateAllOptions;
  readonly specOf: (vm: VmRefInput) => MigrationSpecInput;
}

/** Moves one VM after the other, until something says that no other would fare better. */
class Mover {
  readonly #options: MoverOptions;
  #isOver = false;

  constructor(options: MoverOptions) {
    this.#options = options;
  }

  /** Never fails: what happens is what became of the VM. */
  async move(vm: VmDocument): Promise<Move> {
    const { io, options } = this.#options;
    const why = whyItStays(vm, options);
    if (why !== undefined) return { vm, outcome: 'stays', why };
    if (this.#isOver || io.signal.aborted) return { vm, outcome: 'not-tried' };
    const migrationId = randomUUID();
    try {
      await this.#start(migrationId, vm);
    } catch (error) {
      return this.#notBegun({ vm, migrationId }, error);
    }
    if (!options.wait) return { vm, outcome: 'begun', migrationId };
    return this.#follow({ vm, migrationId });
  }

  async #start(id: string, vm: VmDocument): Promise<void> {
    const { io, command, client, call, options, specOf } = this.#options;
    const labels = options.label;
    await repeatWhileLost(
      () => client.migrations.start(id, specOf(refOf(vm)), { ...call, labels }),
      { signal: io.signal, onLost: this.#onLost, patienceMs: patienceMs(command) },
    );
    io.stderr.write(`Migration ${id} of VM ${vmName(vm)} to node ${options.to}\n`);
  }

  #notBegun(move: Pick<Move, 'vm' | 'migrationId'>, error: unknown): Move {
    if (error instanceof Interrupted) return { ...move, outcome: 'may-go-on' };
    if (!(error instanceof AgentError)) throw error;
    this.#options.io.stderr.write(errorReport(error, `VM ${vmName(move.vm)}`));
    this.#isOver ||= hasReason(error, ...ENDS_ALL);
    if (mayHaveArrived(error)) return { ...move, outcome: 'may-go-on', error };
    return { vm: move.vm, outcome: 'refused', error };
  }

  async #follow(move: Pick<Move, 'vm'> & { readonly migrationId: string }): Promise<Move> {
    const { io, client } = this.#options;
    let migration: Migration | undefined;
    try {
      const resume = { signal: io.signal, onLost: this.#onLost };
      for await (const seen of followMigration(client, move.migrationId, resume)) migration = seen;
    } catch (error) {
      if (error instanceof Interrupted) return { ...move, outcome: 'goes-on', migration };
      if (!(error instanceof AgentError)) throw error;
      io.stderr.write(errorReport(error, `VM ${vmName(move.vm)}`));
      return { ...move, outcome: 'may-go-on', migration, error };
    }
    if (migration !== undefined) io.stderr.write(`${resultText(migration)}\n`);
    const isMoved = migration?.status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED;
    return { ...move, outcome: isMoved ? 'moved' : 'failed', migration };
  }

  readonly #onLost = (): void => this.#options.io.stderr.write(`${CONNECTION_LOST}\n`);
}

/** These are about the agent, the caller or the other node, not about one VM. */
const ENDS_ALL = [
  'AGENT_UNREACHABLE',
  'NODE_CORDONED',
  'PEER_INCOMPATIBLE',
  'PEER_UNKNOWN',
  'PEER_UNREACHABLE',
  'PERMISSION_DENIED',
  'SHUTTING_DOWN',
  'UNAUTHENTICATED',
] as const;
