import type { Command } from 'commander';
import { addConnectionOptions } from '../../connection/agent-connection.ts';
import { durationArgument } from '../../input/argument-parsers.ts';
import { addNamespaceOption, type NamespaceOptions } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';

export interface VmActionOptions extends OutputOptions, NamespaceOptions {
  readonly wait?: boolean;
  /** How long to wait, in milliseconds. */
  readonly timeout?: number;
}

/** The argument and options of commands that do something to one VM. */
export function addVmActionOptions(
  command: Command,
  { waitsFor }: { readonly waitsFor?: string } = {},
): Command {
  command.argument('<vm>', 'NAME or NAMESPACE/NAME');
  if (waitsFor !== undefined) {
    command
      .option('--wait', `wait until ${waitsFor}`)
      .option('--timeout <duration>', 'how long to wait (5m); then exit code 7', durationArgument);
  }
  addNamespaceOption(command);
  addOutputOption(command);
  return addConnectionOptions(command);
}
