import type { Command } from 'commander';
import { durationArgument } from '../../input/argument-parsers.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

interface RestartOptions extends VmVerbOptions {
  /** In milliseconds. */
  readonly timeout?: number;
  readonly force?: boolean;
}

export function addVmRestartCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('restart')
    .summary('shut a VM down and start it again')
    .description(
      'Asks the guest to power off, waits until it has and starts the VM again, with all changes that wait for the next ' +
        'start. One that is off is only started. Goes on without novactl, also if the agent is restarted meanwhile.',
    )
    .option(
      '--timeout <duration>',
      'how long the guest is waited for, 1s to 24h (5m); then exit code 7, or see --force',
      durationArgument,
    )
    .option('--force', 'cut its power if it has not powered off in time, or is paused and cannot');
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm restart web
  novactl vm restart web --timeout 2m --force
`,
  );
  command.action((name: string, options: RestartOptions) =>
    runVmVerb(io, command, name, options, {
      ask: (vms, ref, call) =>
        vms.restart(ref, { ...call, timeoutMs: options.timeout, force: options.force }),
      done: { RESTARTED: 'restarted', STARTED: 'was off and has been started' },
    }),
  );
}
