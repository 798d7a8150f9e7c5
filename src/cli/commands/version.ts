import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../connection/agent-connection.ts';
import { errorReport } from '../errors/error-report.ts';
import { textOutputOption } from '../output/output-format.ts';
import { ownVersion } from '../own-version.ts';
import type { CliIo } from '../process/cli-io.ts';

export function addVersionCommand(parent: Command, io: CliIo): Command {
  const command = parent
    .command('version')
    .description('Prints the versions of novactl and of the agent that it talks to.')
    .option('--client', "only novactl's own; asks no agent")
    .addOption(textOutputOption());
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl version
  novactl version --client
`,
  );
  command.action(async (options: { readonly client?: boolean; readonly output: string }) => {
    const client = await ownVersion();
    if (options.client === true) {
      io.stdout.write(options.output === 'json' ? json({ client }) : `novactl ${client}\n`);
      return;
    }
    try {
      const node = await withAgent(io, command, (agent, call) => agent.node.get(call));
      const server = node.status?.agentVersion ?? '';
      io.stdout.write(
        options.output === 'json'
          ? json({ client, agent: server, node: node.metadata?.name })
          : `novactl ${client}\nagent   ${server} (node ${node.metadata?.name})\n`,
      );
    } catch (error) {
      // One's own version is known all the same.
      io.stdout.write(options.output === 'json' ? json({ client }) : `novactl ${client}\n`);
      io.stderr.write(errorReport(error));
      const { Exit, exitCodeOf } = await import('../process/exit-codes.ts');
      throw new Exit(exitCodeOf(error));
    }
  });
  return command;
}

function json(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}
