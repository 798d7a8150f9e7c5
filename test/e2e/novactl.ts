import { inProject } from '../../lab/core/project.ts';
import type { CommandResult } from '../../lab/core/run-command.ts';
import type { Lab } from '../../lab/lab.ts';
import { contextsFile } from '../../lab/node/novactl-contexts.ts';

/** novactl on node a of a lab; `--node` chooses another agent. `input` is its standard input. */
export async function novactl(
  lab: Lab,
  args: readonly string[],
  signal: AbortSignal,
  input = '',
): Promise<CommandResult> {
  const env = { NOVACTL_CONFIG: contextsFile(lab.plan) };
  const command = [process.execPath, inProject('dist/cli/main.js'), ...args];
  return lab.node('a').tryRun(command, signal, { env, input });
}
