import type { Command } from 'commander';
import type { NodeShutdown } from '../../../client/api.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { durationArgument } from '../../input/argument-parsers.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { EXIT_CODES, Exit } from '../../process/exit-codes.ts';

/** The agent takes no less. */
const MIN_TIMEOUT_MS = 1_000;

interface ShutdownVmsOptions extends OutputOptions {
  /** In milliseconds. */
  readonly timeout?: number;
  readonly dryRun?: boolean;
  readonly abort?: boolean;
  readonly wait: boolean;
}

export function addNodeShutdownVmsCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('shutdown-vms')
    .summary('power off all VMs before the host goes down')
    .description(
      'Powers off the VMs of the node before its host goes down: asks all guests at once to power off, waits, and cuts the ' +
        'power of those that are on at the deadline. Nothing is started on the node any more until its host has booted again, or ' +
        '--abort. Which VMs shall run does not change by it: after the boot run strategies start them. Migrations from the node ' +
        'have half of the time. Given again it shows how it goes on. Ctrl-C stops looking; the shutdown goes on. ' +
        'The unit novacron-guests.service calls it.',
    )
    .option(
      '--timeout <duration>',
      'how long guests have, 1s to 1h (120s, or until the deadline that was set before)',
      durationArgument,
    )
    .option('--dry-run', 'say what would become of the VMs, and change nothing')
    .option('--abort', 'the host stays up: run strategies hold again')
    .option('--no-wait', 'do not wait until the VMs are off');
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node shutdown-vms --dry-run
  novactl node shutdown-vms --timeout 5m && systemctl reboot
  novactl node shutdown-vms --abort
`,
  );
  command.action(async (options: ShutdownVmsOptions) => {
    if (options.abort === true) await abort(io, command, options);
    else await shutDown(io, command, options);
  });
}

async function abort(io: CliIo, command: Command, { output }: ShutdownVmsOptions): Promise<void> {
  const { printNodeAction } = await import('./action.ts');
  const { repeatCall } = await import('../../progress/repeat-call.ts');
  await withAgent(io, command, async (client, call) => {
    const node = await repeatCall(io, command, () => client.node.abortShutdown(call));
    await printNodeAction(io, output, node, 'is not being shut down; VMs may be started');
  });
}

async function shutDown(io: CliIo, command: Command, options: ShutdownVmsOptions): Promise<void> {
  const { goesOn, waitForShutdown } = await import('../../progress/wait-for-shutdown.ts');
  const { hasFailed } = await import('../../views/shutdown-view.ts');
  const { repeatCall } = await import('../../progress/repeat-call.ts');
  const { output, dryRun = false, wait } = options;
  const timeoutMs = remaining(options.timeout);
  await withAgent(io, command, async (client, call) => {
    const begun = await repeatCall(io, command, () =>
      client.node.shutDownVms({ ...call, timeoutMs: timeoutMs(), dryRun }),
    );
    if (dryRun || !wait) {
      await print(io, output, begun.shutdown, dryRun ? 'No VM is on' : 'No VM was on');
      if (!dryRun && !begun.shutdown.done) io.stderr.write(`${goesOn(command)}\n`);
      return;
    }
    const ended = await waitForShutdown(io, command, client, begun);
    if (ended === undefined) {
      io.stderr.write('The shutdown was called off\n');
      throw new Exit(EXIT_CODES.failure);
    }
    await print(io, output, ended, 'No VM was on');
    if (ended.virtualMachines.some(hasFailed)) throw new Exit(EXIT_CODES.failure);
  });
}

/** What is left of a time that begins now. */
function remaining(timeoutMs: number | undefined): () => number | undefined {
  const sinceMs = performance.now();
  let isFirst = true;
  return () => {
    if (timeoutMs === undefined || isFirst) {
      isFirst = false;
      return timeoutMs;
    }
    return Math.max(MIN_TIMEOUT_MS, timeoutMs - (performance.now() - sinceMs));
  };
}

async function print(
  io: CliIo,
  output: OutputOptions['output'],
  shutdown: NodeShutdown,
  none: string,
): Promise<void> {
  const { printDocument } = await import('../../output/output.ts');
  const { guestName, shutdownDocument, shutdownTable } = await import(
    '../../views/shutdown-view.ts'
  );
  const { virtualMachines } = shutdown;
  if (output === 'json' || output === 'yaml') {
    await printDocument(io, output, shutdownDocument(shutdown));
  } else if (output === 'name') {
    io.stdout.write(virtualMachines.map((guest) => `${guestName(guest)}\n`).join(''));
  } else if (virtualMachines.length === 0) io.stderr.write(`${none}\n`);
  else io.stdout.write(shutdownTable(shutdown));
}
