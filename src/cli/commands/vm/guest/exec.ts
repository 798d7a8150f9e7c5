import type { Command } from 'commander';
import type { RunGuestCommandResponse } from '../../../../client/api.ts';
import { AgentError } from '../../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../../connection/agent-connection.ts';
import { errorReport } from '../../../errors/error-report.ts';
import { durationArgument, guestProgramArgument } from '../../../input/argument-parsers.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../../input/vm-ref.ts';
import type { CliIo } from '../../../process/cli-io.ts';
import { Exit, Interrupted } from '../../../process/exit-codes.ts';

interface ExecOptions extends NamespaceOptions {
  readonly timeout: number;
  readonly stdin?: boolean;
}

const DEFAULT_TIMEOUT_MS = 60_000;
/** For the way there and back, and a guest agent that is slow to begin. */
const MARGIN_MS = 30_000;
/** The API's limit of RunGuestCommandRequest.stdin. */
const MAX_STDIN_BYTES = 1024 * 1024;

/** As ssh has it: what is left is for what goes wrong on the way. */
const NOT_RUN = 255;
const SIGNAL_BASE = 128;

export function addVmGuestExecCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('exec')
    .summary('run a program in a guest')
    .description(
      'Runs a program in a guest, as root there, waits for its end and prints what it has written, at most 1 MiB of each output. No ' +
        'shell reads the words unless the program is one. The program cannot be ended from here: after the time-out, or Ctrl-C, it goes ' +
        'on in the guest. Who has run what stands in the audit log of the agent.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .argument(
      '<program>',
      'path in the guest, or a name that is looked for in its PATH; after --',
      guestProgramArgument,
    )
    .argument('[args...]', 'its arguments')
    .option(
      '--timeout <duration>',
      'how long it is waited for',
      durationArgument,
      DEFAULT_TIMEOUT_MS,
    )
    .option('-i, --stdin', 'give it what is read from standard input, at most 1 MiB');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Exit codes: that of the program; 128 and the number of the signal that has ended it; 255 if it could not be run, or is
not known to have ended.

Examples:
  novactl vm guest exec web -- uname -r
  novactl vm guest exec web -- sh -c 'df -h | grep vda'
  novactl vm guest exec web -i -- tee /etc/motd <motd
`,
  );
  command.action(async (name: string, program: string, args: string[], options: ExecOptions) => {
    throw new Exit(await run(io, command, name, { program, args, options }));
  });
}

async function run(
  io: CliIo,
  command: Command,
  name: string,
  { program, args, options }: { program: string; args: string[]; options: ExecOptions },
): Promise<number> {
  const { timeout: timeoutMs } = options;
  try {
    const stdin = options.stdin === true ? await io.readStdinBytes(MAX_STDIN_BYTES) : undefined;
    return await withAgent(io, command, async (client, call) => {
      const wanted = { program, args, stdin, timeoutMs };
      const deadlineMs = call.deadlineMs ?? timeoutMs + MARGIN_MS;
      const end = await client.guests.run(vmRef(name, options), wanted, { ...call, deadlineMs });
      return print(io, end);
    });
  } catch (error) {
    if (error instanceof Interrupted) {
      io.stderr.write('Interrupted; the program goes on in the guest if it was begun\n');
      return NOT_RUN;
    }
    if (!(error instanceof AgentError)) throw error;
    io.stderr.write(errorReport(error));
    return NOT_RUN;
  }
}

function print(io: CliIo, end: RunGuestCommandResponse): number {
  io.stdout.write(end.stdout);
  io.stderr.write(end.stderr);
  const cut = [
    ...(end.stdoutTruncated ? ['standard output'] : []),
    ...(end.stderrTruncated ? ['standard error'] : []),
  ];
  if (cut.length > 0) {
    io.stderr.write(`Warning: the program wrote more to its ${cut.join(' and ')} than is kept\n`);
  }
  const code = end.exitCode ?? SIGNAL_BASE + (end.signal ?? 0);
  if (code <= NOT_RUN) return code;
  // No shell could be told of it, and some codes would look like success.
  io.stderr.write(`The program has ended with code ${code}\n`);
  return NOT_RUN;
}
