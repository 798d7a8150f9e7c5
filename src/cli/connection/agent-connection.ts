import type { Command } from 'commander';
import type { AgentClient } from '../../client/agent-client.ts';
import type { CallOptions } from '../../client/connection.ts';
import { agentAddressArgument, durationArgument } from '../input/argument-parsers.ts';
import type { CliIo } from '../process/cli-io.ts';

export interface ConnectionOptions {
  readonly node?: string;
  readonly address?: string;
  readonly config?: string;
  readonly requestTimeout?: number;
}

const HEADING = 'Which agent:';

/**
 * The options that choose the agent. They may stand before the command as well as after it; a command whose own
 * `--address` means something else leaves that one out.
 */
export function addConnectionOptions(
  command: Command,
  { address = true }: { readonly address?: boolean } = {},
): Command {
  const option = (flags: string, description: string) =>
    command.createOption(flags, description).helpGroup(HEADING);
  command.addOption(option('--node <name>', 'the context of this name in the contexts file'));
  if (address) {
    command.addOption(
      option('--address <address>', 'unix:/PATH or HOST:PORT of the agent').argParser(
        agentAddressArgument,
      ),
    );
  }
  return command
    .addOption(
      option('--config <file>', 'contexts file ($NOVACTL_CONFIG, /etc/novacron/novactl.yaml)'),
    )
    .addOption(
      option('--request-timeout <duration>', 'how long one request may take (30s)').argParser(
        durationArgument,
      ),
    );
}

/** What chooses the agent, from before and after the command; after wins. */
export function connectionOptions(command: Command): ConnectionOptions {
  let root = command;
  while (root.parent !== null) root = root.parent;
  const own = command.opts<ConnectionOptions>();
  const before = root.opts<ConnectionOptions>();
  // The `--address` of `migrate` is the destination's, not the agent's.
  const { address: _destination, ...others } = own;
  return command.name() === 'migrate' ? { ...before, ...others } : { ...before, ...own };
}

/** The words that choose the same agent again, each after a space; empty if none were given. */
export function connectionWords(options: ConnectionOptions): string {
  return (['node', 'address', 'config'] as const)
    .filter((name) => options[name] !== undefined)
    .map((name) => ` --${name} ${options[name]}`)
    .join('');
}

/** Calls `work` with the chosen agent's client and the options for its calls. */
export async function withAgent<T>(
  io: CliIo,
  command: Command,
  work: (client: AgentClient, call: CallOptions) => Promise<T>,
): Promise<T> {
  const options = connectionOptions(command);
  // Loading gRPC and YAML takes longer than most commands that do without them.
  const [{ AgentClient: Client }, { resolveTarget }] = await Promise.all([
    import('../../client/agent-client.ts'),
    import('./contexts.ts'),
  ]);
  using client = await Client.open(await resolveTarget(options, io.env));
  return await work(client, { signal: io.signal, deadlineMs: options.requestTimeout });
}
