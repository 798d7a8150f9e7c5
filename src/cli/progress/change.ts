import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import type { Operation } from '../../client/api.ts';
import { operationFailure } from '../../client/operation-failure.ts';
import { required } from '../../client/required.ts';
import { mayHaveArrived } from '../../client/status.ts';
import type { ChangeOptions } from '../input/change-options.ts';
import type { CliIo } from '../process/cli-io.ts';
import { Interrupted } from '../process/exit-codes.ts';
import { repeatCall } from './repeat-call.ts';
import { mayHaveBegun, waitForOperation } from './wait-for-operation.ts';

interface Answer {
  readonly operation?: Operation | undefined;
}

/** Who asks for changes, and how. */
export interface Changer {
  readonly io: CliIo;
  readonly command: Command;
  readonly client: AgentClient;
  readonly options: ChangeOptions;
}

/** Asks for a change and waits until it is done, unless nobody wants to wait. Fails as its operation has failed. */
export async function change<A extends Answer>(
  { io, command, client, options }: Changer,
  ask: (operationId: string) => Promise<A>,
): Promise<{ readonly answer: A; readonly operation: Operation }> {
  io.signal.throwIfAborted();
  const id = options.operationId ?? randomUUID();
  const answer = await askWhileLost(io, command, id, ask);
  const begun = required(answer.operation, 'operation');
  if (!options.wait) return { answer, operation: begun };
  const operation = await waitForOperation(io, command, client, { id, begun });
  const failure = operationFailure(operation);
  if (failure !== undefined) throw failure;
  return { answer, operation };
}

/** By its id the change is one however often it is asked for, so an agent that is lost meanwhile is asked again. */
async function askWhileLost<A>(
  io: CliIo,
  command: Command,
  id: string,
  ask: (operationId: string) => Promise<A>,
): Promise<A> {
  let wasLost = false;
  const onLost = () => {
    wasLost = true;
  };
  try {
    return await repeatCall(io, command, () => ask(id), onLost);
  } catch (error) {
    const about = mayHaveBegun(id, command);
    if (error instanceof Interrupted) throw new Interrupted(about);
    if (wasLost || mayHaveArrived(error)) io.stderr.write(`${about}\n`);
    throw error;
  }
}
