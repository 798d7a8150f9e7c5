import { Command, CommanderError } from 'commander';
import { addConnectionOptions } from './connection/agent-connection.ts';
import { errorReport } from './errors/error-report.ts';
import { refuseHalfRightOptions } from './input/half-right-options.ts';
import { type CliIo, outputProblem } from './process/cli-io.ts';
import {
  EXIT_CODE_MEANINGS,
  EXIT_CODES,
  Exit,
  exitCodeOf,
  Interrupted,
} from './process/exit-codes.ts';

/** `next` is the word after the command's name, where there is one: a command with many below it loads that one alone. */
type AddCommand = (
  parent: Command,
  io: CliIo,
  next: string | undefined,
) => Command | Promise<Command>;

interface CommandEntry {
  readonly summary: string;
  readonly hidden?: boolean;
  readonly load: () => Promise<AddCommand>;
}

/** Each command is loaded only when it is called. */
const COMMANDS: Readonly<Record<string, CommandEntry>> = {
  vm: {
    summary: 'make, run and look at the VMs of a node',
    load: async () => (await import('./commands/vm.ts')).addVmCommand,
  },
  migrate: {
    summary: 'move a running VM to another node',
    load: async () => (await import('./commands/migrate.ts')).addMigrateCommand,
  },
  migration: {
    summary: 'look at migrations, watch and cancel them',
    load: async () => (await import('./commands/migration.ts')).addMigrationCommand,
  },
  operation: {
    summary: 'look at what was asked for of VMs, watch and cancel it',
    load: async () => (await import('./commands/operation.ts')).addOperationCommand,
  },
  events: {
    summary: 'what has happened to the VMs of the node',
    load: async () => (await import('./commands/events.ts')).addEventsCommand,
  },
  image: {
    summary: 'the images that VMs of the node are made from',
    load: async () => (await import('./commands/image.ts')).addImageCommand,
  },
  node: {
    summary: 'look at the node, let it take VMs or not',
    load: async () => (await import('./commands/node.ts')).addNodeCommand,
  },
  watch: {
    summary: 'print every change of the VMs as it happens',
    load: async () => (await import('./commands/watch.ts')).addWatchCommand,
  },
  pki: {
    summary: 'make certificates for nodes and for those who call their agents',
    load: async () => (await import('./commands/pki.ts')).addPkiCommand,
  },
  doctor: {
    summary: 'check this machine for what the agent needs',
    load: async () => (await import('./commands/doctor.ts')).addDoctorCommand,
  },
  completion: {
    summary: 'print the completion script of a shell',
    load: async () => (await import('./commands/completion.ts')).addCompletionCommand,
  },
  version: {
    summary: 'print the versions of novactl and of the agent',
    load: async () => (await import('./commands/version.ts')).addVersionCommand,
  },
  __complete: {
    summary: 'what the completion scripts ask',
    hidden: true,
    load: async () => {
      const { addCompleteCommand } = await import('./commands/complete.ts');
      return (parent, io) => addCompleteCommand(parent, io, () => buildWholeProgram(io));
    },
  },
};

const EXAMPLES = `
Examples:
  novactl vm apply -f web.yaml             make a VM, or change it
  novactl vm list                          the VMs of this node
  novactl migrate web --to node-b          move one and watch it go
  novactl --node node-b vm list            ask another node's agent
  novactl doctor                           what is wrong with this machine

Exit codes:
${Object.entries(EXIT_CODES)
  .map(([name, code]) => {
    return `  ${String(code).padEnd(4)} ${EXIT_CODE_MEANINGS[name as keyof typeof EXIT_CODES]}`;
  })
  .join('\n')}
`;

/** Runs novactl with the words after its name. Never throws. */
export async function runCli(words: readonly string[], io: CliIo): Promise<number> {
  const code = await runCommand(words, io);
  const problem = outputProblem(io.stdout) ?? outputProblem(io.stderr);
  if (problem === undefined) return code;
  io.stderr.write(`Error: Cannot write the output: ${problem}\n`);
  return code === EXIT_CODES.ok ? EXIT_CODES.failure : code;
}

async function runCommand(words: readonly string[], io: CliIo): Promise<number> {
  try {
    // What comes after the command is its own to read.
    const wanted = newProgram(io)
      .passThroughOptions()
      .parseOptions([...words]).operands;
    // Help on a command names all that are below it.
    const [name, next] = wanted[0] === 'help' ? wanted.slice(1, 2) : wanted;
    const program = await buildProgram(io, { name, next });
    await program.parseAsync(words.length === 0 ? ['--help'] : [...words], { from: 'user' });
    return EXIT_CODES.ok;
  } catch (error) {
    // Commander has said what is wrong; --help ends in an "error" with code 0.
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
    }
    if (error instanceof Interrupted) io.stderr.write(`${error.message}\n`);
    else if (!(error instanceof Exit)) io.stderr.write(errorReport(error));
    return exitCodeOf(error);
  }
}

/** The whole command tree, for completion. */
export function buildWholeProgram(io: CliIo): Promise<Command> {
  return buildProgram(io, 'all');
}

/** The top with all commands' names; only the wanted one has its options and subcommands. */
async function buildProgram(
  io: CliIo,
  wanted: 'all' | { readonly name: string | undefined; readonly next: string | undefined },
): Promise<Command> {
  const program = newProgram(io);
  for (const [name, { summary, hidden = false, load }] of Object.entries(COMMANDS)) {
    if (wanted === 'all') (await (await load())(program, io, undefined)).summary(summary);
    else if (name === wanted.name)
      (await (await load())(program, io, wanted.next)).summary(summary);
    else program.command(name, { hidden }).summary(summary);
  }
  refuseHalfRightOptions(program);
  return program;
}

function newProgram(io: CliIo): Command {
  const program = new Command('novactl')
    .description('Talks to the NovaCron agent of a node: its VMs, their migrations, its health.')
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('Add --help to see what is possible.')
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHelpWidth: () => Math.min(io.stdout.columns, 100),
      getErrHelpWidth: () => Math.min(io.stderr.columns, 100),
    })
    .addHelpText('after', EXAMPLES);
  return addConnectionOptions(program);
}
