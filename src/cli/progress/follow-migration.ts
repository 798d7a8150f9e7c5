import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import { type Migration, MigrationPhase } from '../../client/api.ts';
import { followMigration as watchToTheEnd } from '../../client/watches.ts';
import { AgentError } from '../../core/errors.ts';
import {
  type ConnectionOptions,
  connectionOptions,
  connectionWords,
} from '../connection/agent-connection.ts';
import { printItem } from '../output/output.ts';
import type { OutputFormat } from '../output/output-format.ts';
import type { CliIo } from '../process/cli-io.ts';
import { EXIT_CODES, Exit, Interrupted } from '../process/exit-codes.ts';
import { migrationView } from '../views/migration-view.ts';
import { resultText } from './progress.ts';
import { ProgressPrinter } from './progress-printer.ts';

/** Shows a migration until it has ended and prints its result. Ctrl-C stops looking, not the migration. */
export async function followMigration(
  io: CliIo,
  command: Command,
  client: AgentClient,
  id: string,
  output: OutputFormat,
): Promise<void> {
  const printer = new ProgressPrinter(io.stderr);
  let latest: Migration | undefined;
  try {
    const onLost = () => printer.note('The connection to the agent was lost; connecting again');
    for await (const migration of watchToTheEnd(client, id, { signal: io.signal, onLost })) {
      latest = migration;
      printer.show(migration);
    }
  } catch (error) {
    printer.clear();
    if (error instanceof Interrupted) {
      io.stderr.write(`Stopped watching: ${goesOn(id, connectionOptions(command))}`);
      throw new Exit(EXIT_CODES.interrupted);
    }
    throw error;
  }
  printer.clear();
  if (latest === undefined) {
    throw new AgentError('STREAM_FAILED', `The agent said nothing about migration ${id}`);
  }
  if (output === 'table') io.stdout.write(`${resultText(latest)}\n`);
  else await printItem(io, output, migrationView(Date.now()), latest);
  if (latest.status?.phase !== MigrationPhase.MIGRATION_PHASE_COMPLETED) {
    throw new Exit(EXIT_CODES.failure);
  }
}

/** Says that a migration goes on without us and how to come back to it. */
export function goesOn(id: string, options: ConnectionOptions): string {
  const chosen = connectionWords(options);
  return `migration ${id} goes on.
  Watch it:  novactl migration watch ${id}${chosen}
  Cancel it: novactl migration cancel ${id}${chosen}
`;
}
