import { existsSync } from 'node:fs';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { type CommandResult, tryRun } from '../core/run-command.ts';

export interface CompatibilityResult extends CommandResult {
  /** What the API was compared with, or why with nothing. */
  readonly detail: string;
}

/** Compares the API of a checkout with its newest release: clients of that one must be able to use this one. */
export async function checkCompatibility(
  checkout: string,
  signal: AbortSignal,
): Promise<CompatibilityResult> {
  if (!existsSync(path.join(checkout, '.git')))
    return { code: 0, stdout: '', stderr: '', detail: 'no git repository, so no release tag' };
  const newestFirst = ['git', 'tag', '--list', 'v*', '--sort=-v:refname'];
  const tags = await tryRun(newestFirst, { cwd: checkout }, signal);
  if (tags.code !== 0) return { ...tags, detail: '' };
  const tag = tags.stdout.split('\n')[0] ?? '';
  if (tag === '') return { ...tags, detail: 'no release tag yet' };
  const buf = inProject('node_modules/.bin/buf');
  const against = ['--against', `.git#tag=${tag}`];
  const compared = await tryRun([buf, 'breaking', ...against], { cwd: checkout }, signal);
  return { ...compared, detail: `compared with ${tag}` };
}
