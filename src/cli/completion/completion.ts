import type { Command, Option } from 'commander';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** Things whose names only an agent or the contexts file knows. */
export type NameKind = 'vm' | 'migration' | 'operation' | 'reservation' | 'context' | 'namespace';

export type Completion =
  | { readonly kind: 'candidates'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'names'; readonly of: NameKind }
  | { readonly kind: 'files' };

const NAMES_OF_OPTIONS: Readonly<Record<string, NameKind>> = {
  '--node': 'context',
  '--to': 'context',
  '--namespace': 'namespace',
  '--vm': 'vm',
};
const NAMES_OF_ARGUMENTS: Readonly<Record<string, NameKind>> = {
  vm: 'vm',
  id: 'migration',
  operation: 'operation',
  reservation: 'reservation',
};
const FILE_OPTIONS: readonly string[] = [
  '--filename',
  '--config',
  '--agent-config',
  '--dir',
  '--out',
];

/** What may stand where the last of the words is being typed; read off the command tree. */
export function completeWords(program: Command, words: readonly string[]): Completion {
  const current = words.at(-1) ?? '';
  let command = program;
  let operands = 0;
  let awaitsValue: Option | undefined;
  for (const word of words.slice(0, -1)) {
    if (awaitsValue !== undefined) {
      awaitsValue = undefined;
    } else if (word.startsWith('-')) {
      const option = command.options.find(({ long, short }) => word === long || word === short);
      if (option?.required === true) awaitsValue = option;
    } else {
      const next = command.commands.find((child) => namesOf(child).includes(word));
      if (next === undefined) operands += 1;
      else command = next;
    }
  }
  if (awaitsValue !== undefined) return completeValue(awaitsValue, current);
  if (current.startsWith('-')) return startingWith(current, optionCandidates(command));
  if (command.commands.length > 0) return startingWith(current, commandCandidates(command));
  return completeArgument(command, operands, current);
}

function completeValue(option: Option, current: string): Completion {
  const name = option.long ?? '';
  if (FILE_OPTIONS.includes(name)) return { kind: 'files' };
  const names = NAMES_OF_OPTIONS[name];
  if (names !== undefined) return { kind: 'names', of: names };
  return startingWith(current, (option.argChoices ?? []).map(bare));
}

function completeArgument(command: Command, position: number, current: string): Completion {
  const argument = command.registeredArguments[position];
  const names = argument === undefined ? undefined : NAMES_OF_ARGUMENTS[argument.name()];
  if (names !== undefined) return { kind: 'names', of: names };
  return startingWith(current, (argument?.argChoices ?? []).map(bare));
}

/** Only those that begin with what was typed. */
export function startingWith(current: string, candidates: readonly Candidate[]): Completion {
  return {
    kind: 'candidates',
    candidates: candidates.filter(({ value }) => value.startsWith(current)),
  };
}

function commandCandidates(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((child) => ({ value: child.name(), description: child.summary() }));
}

function optionCandidates(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map(({ long, short, description }) => ({ value: long ?? short ?? '', description }));
}

function namesOf(command: Command): readonly string[] {
  return [command.name(), ...command.aliases()];
}

function bare(value: string): Candidate {
  return { value, description: '' };
}

/** bash cuts words at colons; this undoes it, so that `unix:/run/agent.sock` is one word again. */
export function joinAtColons(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (const [index, word] of words.entries()) {
    const last = joined.at(-1);
    const continues = word === ':' || (words[index - 1] === ':' && index > 0);
    if (continues && last !== undefined) joined[joined.length - 1] = last + word;
    else joined.push(word);
  }
  return joined;
}
