import type { Command } from 'commander';
import { durationArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

interface ShutdownOptions extends VmVerbOptions {
  /** In milliseconds. */
  readonly timeout?: number;
}

export function addVmShutdownCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('shutdown')
    .summary('ask a guest to power off')
    .description(
      'Asks the guest to power off and waits until the VM is off. A guest may take its time or not listen at all. ' +
        'Ctrl-C stops waiting; the guest has been asked all the same.',
    )
    .option(
      '--timeout <duration>',
      'how long the guest is waited for, 1s to 24h (5m); then exit code 7',
      durationArgument,
    );
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm shutdown web
  novactl vm shutdown web --timeout 2m || novactl vm destroy web
  novactl vm shutdown web --no-wait
`,
  );
  command.action((name: string, options: ShutdownOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.shutdown(ref, { ...call, timeoutMs: options.timeout }),
      done: 'is off',
    }),
  );
}
