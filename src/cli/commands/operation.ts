import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addOperationCancelCommand } from './operation/cancel.ts';
import { addOperationGetCommand } from './operation/get.ts';
import { addOperationListCommand } from './operation/list.ts';
import { addOperationWatchCommand } from './operation/watch.ts';

export function addOperationCommand(parent: Command, io: CliIo): Command {
  const operation = parent
    .command('operation')
    .description(
      'Shows, watches and cancels operations: what was asked for of VMs, and what became of it. Every command that ' +
        'changes a VM begins one; it goes on when novactl has ended and when the agent is started anew.',
    );
  addOperationListCommand(operation, io);
  addOperationGetCommand(operation, io);
  addOperationWatchCommand(operation, io);
  addOperationCancelCommand(operation, io);
  return operation;
}
