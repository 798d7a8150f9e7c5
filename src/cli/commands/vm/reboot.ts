import type { Command } from 'commander';
import { durationArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

interface RebootOptions extends VmVerbOptions {
  /** In milliseconds. */
  readonly timeout?: number;
}

export function addVmRebootCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('reboot')
    .summary('ask a guest to reboot')
    .description(
      'Asks the guest to reboot and waits until it has. A guest may take its time or not listen at all. Changes that ' +
        'wait for the next start are not taken over: see novactl vm restart. Ctrl-C stops waiting; the guest has been asked.',
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
  novactl vm reboot web
  novactl vm reboot web --timeout 1m || novactl vm reset web
`,
  );
  command.action((name: string, options: RebootOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) => vms.reboot(ref, { ...call, timeoutMs: options.timeout }),
      done: { REBOOTED: 'rebooted', ASKED: 'was asked to reboot' },
    }),
  );
}
