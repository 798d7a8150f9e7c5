import { glob } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { type CommandResult, tryRun } from '../core/run-command.ts';

export interface CompatibilityResult extends CommandResult {
  /** What the API was compared with. */
  readonly detail: string;
}

/**
 * Compares the API of a checkout with every version of it that is recorded in test/compatibility: clients and peers of
 * those must be able to use this one. What counts as a break stands in buf.yaml.
 */
export async function checkCompatibility(
  checkout: string,
  signal: AbortSignal,
): Promise<CompatibilityResult> {
  const recorded = (
    await Array.fromAsync(glob('test/compatibility/version-*/proto', { cwd: checkout }))
  ).toSorted();
  const buf = inProject('node_modules/.bin/buf');
  const results: CommandResult[] = [];
  for (const proto of recorded) {
    const command = [buf, 'breaking', '--against', proto];
    results.push(await tryRun(command, { cwd: checkout }, signal));
  }
  return {
    code: results.find(({ code }) => code !== 0)?.code ?? 0,
    stdout: results.map(({ stdout }) => stdout).join(''),
    stderr: results.map(({ stderr }) => stderr).join(''),
    detail: `compared with ${recorded.map((proto) => path.basename(path.dirname(proto))).join(', ')}`,
  };
}
