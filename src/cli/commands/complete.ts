import type { Command } from 'commander';
import {
  type Completion,
  completeWords,
  joinAtColons,
  startingWith,
} from '../completion/completion.ts';
import { printable } from '../output/table.ts';
import type { CliIo } from '../process/cli-io.ts';

/**
 * Prints one candidate a line, a tab and its description; `:files` lets the shell complete file names. The whole
 * program is given, since importing it here would go in a circle.
 */
export function addCompleteCommand(
  parent: Command,
  io: CliIo,
  buildWholeProgram: () => Promise<Command>,
): Command {
  return parent
    .command('__complete', { hidden: true })
    .argument('[words...]', 'the words after novactl, the last one as far as it is typed')
    .action(async (given: readonly string[]) => {
      const words = joinAtColons(given);
      let completion = completeWords(await buildWholeProgram(), words);
      if (completion.kind === 'names') completion = await completeName(io, completion.of, words);
      if (completion.kind === 'files') io.stdout.write(':files\n');
      if (completion.kind !== 'candidates') return;
      for (const { value, description } of completion.candidates) {
        io.stdout.write(`${value}\t${printable(description)}\n`);
      }
    });
}

async function completeName(
  io: CliIo,
  of: Extract<Completion, { kind: 'names' }>['of'],
  words: readonly string[],
): Promise<Completion> {
  const { findNames } = await import('../completion/names.ts');
  try {
    return startingWith(words.at(-1) ?? '', await findNames(io, of, words));
  } catch {
    // A completion that cannot ask has nothing to offer, and nowhere to complain.
    return { kind: 'candidates', candidates: [] };
  }
}
