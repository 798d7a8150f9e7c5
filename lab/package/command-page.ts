import type { Command } from 'commander';
import type { CliIo, CliOutput } from '../../src/cli/process/cli-io.ts';
import { buildWholeProgram } from '../../src/cli/program.ts';
import { entry, heading, pageStart, roff, verbatim } from './roff.ts';

/** The page of novactl, from the tree of its commands. */
export async function renderCommandPage(version: string): Promise<string> {
  const written: string[] = [];
  const program = await buildWholeProgram(silentIo(written));
  const epilogue = (command: Command) => textAfterHelp(command, written);
  const summary = 'talks to the NovaCron agent of a node';
  const title = { name: 'novactl', section: 1, version, summary };
  const help = program.createHelp();
  const commands = leavesOf(program).map(
    (command) => `${commandPart(command)}${verbatim(epilogue(command))}`,
  );
  return `${pageStart(title)}${heading('synopsis')}\\fBnovactl\\fR [options] command
${heading('description')}${roff(program.description())}
${optionEntries(program)}${verbatim(epilogue(program))}${heading('commands')}${help
  .visibleCommands(program)
  .filter((command) => command.name() !== 'help')
  .map((command) => entry(`\\fB${roff(command.name())}\\fR`, roff(command.summary())))
  .join('')}${commands.join('')}${heading('files')}${entry(
  '\\fB/etc/novacron/novactl.yaml\\fR',
  roff('Which agents there are; docs/novactl.md has its format.'),
)}${heading('see also')}novacron\\-agent(8), /usr/share/doc/novacron\\-agent/docs/novactl.md
`;
}

function commandPart(command: Command): string {
  const help = command.createHelp();
  const args = help
    .visibleArguments(command)
    .map((each) => entry(`\\fI${roff(each.name())}\\fR`, roff(help.argumentDescription(each))));
  const usage = roff(help.commandUsage(command));
  return `.SS ${roff(pathOf(command))}\n${usage}\n.PP\n${roff(command.description())}\n${args.join('')}${optionEntries(command)}`;
}

function optionEntries(command: Command): string {
  const help = command.createHelp();
  return help
    .visibleOptions(command)
    .map((option) => entry(`\\fB${roff(option.flags)}\\fR`, roff(help.optionDescription(option))))
    .join('');
}

/** Those that do something, in the order of the help. */
function leavesOf(command: Command): readonly Command[] {
  const below = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help' && command.commands.includes(child));
  const own = command.parent === null || below.length > 0 ? [] : [command];
  return [...own, ...below.flatMap(leavesOf)];
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** The examples that follow a command's help. */
function textAfterHelp(command: Command, written: string[]): string {
  written.length = 0;
  command.outputHelp();
  return written.join('').slice(command.helpInformation().length);
}

/** A world without a process, which only keeps what is written. */
function silentIo(written: string[]): CliIo {
  const output: CliOutput = {
    isTTY: false,
    columns: 80,
    fault: undefined,
    write: (data) => void written.push(String(data)),
  };
  return {
    stdout: output,
    stderr: output,
    env: {},
    signal: new AbortController().signal,
    isInteractive: false,
    readStdin: () => Promise.resolve(''),
    openKeyboard: () => {
      throw new Error('Nobody types');
    },
    readStdinBytes: () => Promise.resolve(new Uint8Array()),
    readSecret: () => Promise.resolve(''),
    runOnTerminal: () => Promise.resolve(1),
  };
}
