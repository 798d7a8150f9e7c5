import { Argument, type Command } from 'commander';
import { COMPLETION_SCRIPTS, type Shell } from '../completion/scripts.ts';
import type { CliIo } from '../process/cli-io.ts';

export function addCompletionCommand(parent: Command, io: CliIo): Command {
  return parent
    .command('completion')
    .description('Prints a script that makes a shell complete commands, options and names of VMs.')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(COMPLETION_SCRIPTS)))
    .addHelpText(
      'after',
      `
Examples:
  source <(novactl completion bash)
  novactl completion bash > /etc/bash_completion.d/novactl
  novactl completion zsh > "\${fpath[1]}/_novactl"
  novactl completion fish > ~/.config/fish/completions/novactl.fish
`,
    )
    .action((shell: Shell) => io.stdout.write(COMPLETION_SCRIPTS[shell]));
}
