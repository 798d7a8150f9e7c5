import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';

/** The commands below a command by their names, in the order of its help. */
export type Subcommands = Readonly<
  Record<string, () => Promise<(parent: Command, io: CliIo) => void>>
>;

/** Adds the command that is the next of the words given, and all of them unless that is the name of one. */
export async function addSubcommands(
  parent: Command,
  io: CliIo,
  subcommands: Subcommands,
  next: string | undefined,
): Promise<void> {
  const isKnown = next !== undefined && Object.hasOwn(subcommands, next);
  for (const [name, load] of Object.entries(subcommands)) {
    if (!isKnown || name === next) (await load())(parent, io);
  }
}
