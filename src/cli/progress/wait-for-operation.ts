import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import type { Operation } from '../../client/api.ts';
import { followOperation } from '../../client/watches.ts';
import { AgentError } from '../../core/errors.ts';
import { connectionOptions, connectionWords } from '../connection/agent-connection.ts';
import type { CliIo } from '../process/cli-io.ts';
import { Interrupted } from '../process/exit-codes.ts';
import { OperationLine } from './operation-line.ts';

export const CONNECTION_LOST = 'The connection to the agent was lost; connecting again';
/** How long an agent that was lost is waited for, unless one request may take another time. */
const PATIENCE_MS = 120_000;

/**
 * Shows an operation until it has ended, and returns it as it ended. Ctrl-C stops looking, not the operation. An
 * agent that is lost is waited for, for `patienceMs` at a time; with `begun`, what is known of the operation already, also one
 * that is lost at once.
 */
export async function waitForOperation(
  io: CliIo,
  command: Command,
  client: AgentClient,
  { id, begun }: { readonly id: string; readonly begun?: Operation },
): Promise<Operation> {
  using line = new OperationLine(io.stderr);
  let latest: Operation | undefined;
  let isAway = false;
  try {
    const onLost = () => {
      if (!isAway) line.note(CONNECTION_LOST);
      isAway = true;
    };
    for await (const operation of followOperation(client, id, {
      signal: io.signal,
      onLost,
      begun,
      patienceMs: patienceMs(command),
    })) {
      isAway = false;
      latest = operation;
      line.show(operation);
    }
  } catch (error) {
    const stopped = `Stopped waiting: ${goesOn(id, command)}`;
    if (error instanceof Interrupted) throw new Interrupted(stopped);
    if (latest !== undefined) line.note(stopped);
    throw error;
  }
  if (latest !== undefined) return latest;
  throw new AgentError('STREAM_FAILED', `The agent said nothing about operation ${id}`);
}

/** How long an agent that was there and is lost is waited for. */
export function patienceMs(command: Command): number {
  return connectionOptions(command).requestTimeout ?? PATIENCE_MS;
}

/** Says that nobody knows whether an operation has begun, and how to find out. */
export function mayHaveBegun(id: string, command: Command): string {
  const chosen = connectionWords(connectionOptions(command));
  return `It may have begun, as operation ${id}.
  Find out:  novactl operation get ${id}${chosen}
  Repeat it: the same command with --operation-id ${id}, which does nothing twice`;
}

/** Says that an operation goes on without us and how to come back to it. */
function goesOn(id: string, command: Command): string {
  const chosen = connectionWords(connectionOptions(command));
  return `operation ${id} goes on.
  Watch it:  novactl operation watch ${id}${chosen}
  Cancel it: novactl operation cancel ${id}${chosen}`;
}
