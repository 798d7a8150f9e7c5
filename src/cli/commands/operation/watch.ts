import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { uuidArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmFilterOptions, type VmFilterOptions, vmFilter } from './vm-filter.ts';

interface WatchOptions extends OutputOptions, VmFilterOptions {}

export function addOperationWatchCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('watch')
    .summary('wait for the end of an operation, or watch all of them')
    .description(
      'Waits until an operation has ended; a failure is told, and ends with its exit code. Without an id it prints those ' +
        'that go on, the latest that have ended, then every change, a line each, until Ctrl-C. Ctrl-C stops watching; ' +
        'operations go on.',
    )
    .argument('[operation]', 'id of the operation', uuidArgument);
  addVmFilterOptions(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl operation watch 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
  novactl operation watch --vm web
  novactl operation watch -o json
`,
  );
  command.action(async (id: string | undefined, options: WatchOptions) => {
    if (id === undefined) return await watchAll(io, command, options);
    if (options.vm !== undefined || options.namespace !== undefined) {
      command.error('error: give either an id or a VM');
    }
    await watchOne(io, command, id, options);
  });
}

async function watchOne(
  io: CliIo,
  command: Command,
  id: string,
  { output }: OutputOptions,
): Promise<void> {
  const { operationFailure } = await import('../../../client/operation-failure.ts');
  const { waitForOperation } = await import('../../progress/wait-for-operation.ts');
  const { printItem } = await import('../../output/output.ts');
  const { operationKindWord, operationSubject, operationView } = await import(
    '../../views/operation-view.ts'
  );
  await withAgent(io, command, async (client) => {
    const operation = await waitForOperation(io, command, client, { id });
    const failure = operationFailure(operation);
    if (output !== 'table') await printItem(io, output, operationView(Date.now()), operation);
    if (failure !== undefined) throw failure;
    if (output !== 'table') return;
    const what = `${operationKindWord(operation)} of ${operationSubject(operation)}`;
    io.stdout.write(`Operation ${id} has succeeded: ${what}\n`);
  });
}

async function watchAll(io: CliIo, command: Command, options: WatchOptions): Promise<void> {
  const { output } = options;
  if (output !== 'table' && output !== 'json') {
    command.error('error: without an id the output is table or json');
  }
  const filter = vmFilter(command, options);
  const { watchOperations } = await import('../../../client/watches.ts');
  const { printChanges } = await import('../../progress/print-changes.ts');
  const { OPERATION_CHANGE_WORDS } = await import('../../views/operation-view.ts');
  const format = output === 'json' ? 'json' : 'text';
  await withAgent(io, command, (client) =>
    printChanges(io, format, OPERATION_CHANGE_WORDS, (resume) =>
      watchOperations(client, { ...resume, ...filter }),
    ),
  );
}
