import type { Command } from 'commander';
import { uuidArgument } from './argument-parsers.ts';

export interface ChangeOptions {
  readonly wait: boolean;
  readonly operationId?: string;
}

/** The options of commands that change VMs or the node. */
export function addChangeOptions(command: Command): Command {
  return command
    .option('--no-wait', 'print the id of the operation and do not wait for its end')
    .option(
      '--operation-id <uuid>',
      'id of the operation; giving it again repeats nothing',
      uuidArgument,
    );
}
