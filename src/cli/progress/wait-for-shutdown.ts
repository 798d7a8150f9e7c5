import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import {
  NodeShutdown,
  VirtualMachineShutdownState as State,
  VirtualMachineShutdown,
} from '../../client/api.ts';
import { followShutdown } from '../../client/watches.ts';
import { AgentError } from '../../core/errors.ts';
import { connectionOptions, connectionWords } from '../connection/agent-connection.ts';
import type { CliIo } from '../process/cli-io.ts';
import { Interrupted } from '../process/exit-codes.ts';
import { guestName, isFinal } from '../views/shutdown-view.ts';
import { ShutdownProgress } from './shutdown-progress.ts';

/** So long after the deadline an agent that does not say that all is done is waited for; it gives up itself before. */
const PATIENCE_MS = 30_000;

/**
 * Shows how the shutdown of a node goes on until no more becomes of its VMs, and returns it as it is then; undefined if it was
 * called off. An agent that is lost in the midst of it is waited for. Ctrl-C stops looking, not the shutdown.
 */
export async function waitForShutdown(
  io: CliIo,
  command: Command,
  client: AgentClient,
  begun: { readonly shutdown: NodeShutdown; readonly leftMs: number },
): Promise<NodeShutdown | undefined> {
  using progress = new ShutdownProgress(io.stderr, begun.leftMs);
  const patience = AbortSignal.timeout(begun.leftMs + PATIENCE_MS);
  const known = new KnownGuests();
  let latest = begun.shutdown;
  try {
    const signal = AbortSignal.any([io.signal, patience]);
    const onLost = () => progress.note('The connection to the agent was lost; connecting again');
    for await (const shutdown of followShutdown(client, begun.shutdown, { signal, onLost })) {
      if (shutdown === undefined) return undefined;
      latest = known.add(shutdown);
      progress.show(latest);
    }
    return latest;
  } catch (error) {
    if (error instanceof Interrupted) throw new Interrupted(goesOn(command));
    if (!patience.aborted) throw error;
  }
  const left = latest.virtualMachines.filter((guest) => !isFinal(guest)).map(guestName);
  throw new AgentError(
    'DEADLINE_EXCEEDED',
    `The agent has not said in time that all VMs are off; it has not said it of ${left.join(', ') || 'any that it may not know yet'}`,
  );
}

/** Says that the shutdown goes on without us. */
export function goesOn(command: Command): string {
  const chosen = connectionWords(connectionOptions(command));
  return `The shutdown of the VMs goes on.
  Watch it:    novactl node shutdown-vms${chosen}
  Call it off: novactl node shutdown-vms --abort${chosen}`;
}

/** What was told of each VM last, also by an agent that was killed since: the next one knows only those that are on still. */
class KnownGuests {
  readonly #guests = new Map<string, VirtualMachineShutdown>();

  add(shutdown: NodeShutdown): NodeShutdown {
    const told = new Set<string>();
    for (const guest of shutdown.virtualMachines) {
      told.add(guestName(guest));
      this.#guests.set(guestName(guest), guest);
    }
    for (const [name, guest] of this.#guests) {
      if (!shutdown.done || told.has(name) || isFinal(guest)) continue;
      const state = State.VIRTUAL_MACHINE_SHUTDOWN_STATE_OFF;
      this.#guests.set(name, VirtualMachineShutdown.create({ ...guest, state, message: '' }));
    }
    return NodeShutdown.create({ ...shutdown, virtualMachines: [...this.#guests.values()] });
  }
}
