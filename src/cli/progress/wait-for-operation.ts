import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import type { Operation } from '../../client/api.ts';
import { followOperation } from '../../client/watches.ts';
import { AgentError } from '../../core/errors.ts';
import { connectionOptions, connectionWords } from '../connection/agent-connection.ts';
import type { CliIo } from '../process/cli-io.ts';
import { Interrupted } from '../process/exit-codes.ts';
import { OperationLine } from './operation-line.ts';

/**
 * Shows an operation until it has ended, and returns it as it ended. Ctrl-C stops looking, not the operation. With
 * `begun`, what is known of it already, an agent that is lost at once is waited for too.
 */
export async function waitForOperation(
  io: CliIo,
  command: Command,
  client: AgentClient,
  { id, begun }: { readonly id: string; readonly begun?: Operation },
): Promise<Operation> {
  using line = new OperationLine(io.stderr);
  let latest: Operation | undefined;
  try {
    const onLost = () => line.note('The connection to the agent was lost; connecting again');
    for await (const operation of followOperation(client, id, {
      signal: io.signal,
      onLost,
      begun,
    })) {
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

/** Says that an operation goes on without us and how to come back to it. */
export function goesOn(id: string, command: Command): string {
  const chosen = connectionWords(connectionOptions(command));
  return `operation ${id} goes on.
  Watch it:  novactl operation watch ${id}${chosen}
  Cancel it: novactl operation cancel ${id}${chosen}`;
}
