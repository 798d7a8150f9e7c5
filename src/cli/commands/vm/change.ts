import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { AgentClient } from '../../../client/agent-client.ts';
import type { Operation } from '../../../client/api.ts';
import { operationFailure } from '../../../client/operation-failure.ts';
import { required } from '../../../client/required.ts';
import { hasReason } from '../../../core/errors.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { Interrupted } from '../../process/exit-codes.ts';
import { goesOn, waitForOperation } from '../../progress/wait-for-operation.ts';
import type { ChangeOptions } from './change-options.ts';

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
  const answer = await askOnce(io, command, id, ask);
  const begun = required(answer.operation, 'operation');
  if (!options.wait) return { answer, operation: begun };
  const operation = await waitForOperation(io, command, client, { id, begun });
  const failure = operationFailure(operation);
  if (failure !== undefined) throw failure;
  return { answer, operation };
}

async function askOnce<A>(
  io: CliIo,
  command: Command,
  id: string,
  ask: (operationId: string) => Promise<A>,
): Promise<A> {
  try {
    return await ask(id);
  } catch (error) {
    // After these nobody knows whether the agent has received the request.
    const mayHaveBegun = `It may have begun: ${goesOn(id, command)}`;
    if (error instanceof Interrupted) throw new Interrupted(mayHaveBegun);
    if (hasReason(error, 'DEADLINE_EXCEEDED')) io.stderr.write(`${mayHaveBegun}\n`);
    throw error;
  }
}
