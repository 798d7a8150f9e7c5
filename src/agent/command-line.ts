import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { type AgentConfig, configWarnings } from '../core/agent-config.ts';
import { AgentError } from '../core/errors.ts';
import { COMMAND_OPTIONS } from './command-options.ts';
import { loadConfig } from './load-config.ts';

/** What --help says; the manual page has it too. */
export const USAGE = `novacron-agent runs the VMs of this node.

Usage: novacron-agent [--config FILE]

  --config FILE   configuration (default: /etc/novacron/agent.yaml)
  --check         check the configuration and end
  --version       print the version and end
  --help          print this and end

Signals: SIGTERM and SIGINT end it in good order; VMs and migrations go on without it.
Exit codes: 0 ended as asked, 1 failed, 2 wrong arguments or configuration, or the journal of a newer agent.
`;

/** What the command line comes to: a start, or the exit code of an agent that has said all there was to say. */
export type CommandLine =
  | { readonly config: AgentConfig; readonly version: string }
  | { readonly exitCode: number };

export async function readCommandLine(): Promise<CommandLine> {
  const version = await readVersion();
  let options: { config?: string; check?: boolean; version?: boolean; help?: boolean };
  try {
    ({ values: options } = parseArgs({ options: COMMAND_OPTIONS }));
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return { exitCode: 2 };
  }
  if (options.help === true) {
    process.stdout.write(USAGE);
    return { exitCode: 0 };
  }
  if (options.version === true) {
    process.stdout.write(`novacron-agent ${version}\n`);
    return { exitCode: 0 };
  }
  try {
    const file = options.config ?? '/etc/novacron/agent.yaml';
    const config = await loadConfig(file);
    if (options.check !== true) return { config, version };
    for (const warning of configWarnings(config)) {
      process.stderr.write(`Warning: ${file}: ${warning}\n`);
    }
    process.stdout.write(`${file} is valid: node ${config.nodeName} ${reachedAt(config)}\n`);
    return { exitCode: 0 };
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return { exitCode: 2 };
  }
}

function reachedAt({ listen, advertise, socket }: AgentConfig): string {
  if (advertise === undefined) return `is alone, its API at ${socket} only`;
  return `listens at ${listen}, others reach it at ${advertise}`;
}

async function readVersion(): Promise<string> {
  const file = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
  return version;
}
