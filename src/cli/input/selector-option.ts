import type { Command } from 'commander';

export interface SelectorOptions {
  /** As written; the agent reads it. */
  readonly selector?: string;
}

export function addSelectorOption(command: Command, what: string): Command {
  return command.option(
    '-l, --selector <selector>',
    `only ${what} with these labels, such as app=web,tier!=back or 'tier in (a,b),!old'`,
  );
}
