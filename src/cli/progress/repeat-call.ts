import type { Command } from 'commander';
import { repeatWhileLost } from '../../client/repeat-while-lost.ts';
import type { CliIo } from '../process/cli-io.ts';
import { CONNECTION_LOST, patienceMs } from './wait-for-operation.ts';

/**
 * Asks for something that is the same however often it is asked for, again if the agent is lost meanwhile, which is said once.
 * `onLost` is told so too.
 */
export async function repeatCall<A>(
  io: CliIo,
  command: Command,
  ask: () => Promise<A>,
  onLost: () => void = () => undefined,
): Promise<A> {
  let wasLost = false;
  const sayLost = () => {
    onLost();
    if (!wasLost) io.stderr.write(`${CONNECTION_LOST}\n`);
    wasLost = true;
  };
  const options = { signal: io.signal, onLost: sayLost, patienceMs: patienceMs(command) };
  return repeatWhileLost(ask, options);
}
