import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { inProject, LabError } from '../core/project.ts';

/** Set in the environment of all that a limited process starts, to find what has left its process group. */
const MARK = 'NOVACRON_TEST_PROCESS';

export interface LimitedRun {
  readonly pid: number;
  /** Exit code; undefined for one that was killed. */
  readonly code: number | undefined;
  readonly end: 'by itself' | 'over its limit' | 'aborted';
}

/**
 * Runs a program to its end, but not beyond a limit: then, or on abort, all that it has started is killed. Its output
 * goes to a file, because a pipe ends only with the last process that holds it. Should this process be killed, so is
 * the program.
 */
export async function runLimited(
  command: readonly string[],
  options: { readonly outputPath: string; readonly limitMs: number },
  signal: AbortSignal,
): Promise<LimitedRun> {
  signal.throwIfAborted();
  const mark = randomUUID();
  await using output = await open(options.outputPath, 'a');
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...command], {
    cwd: inProject(),
    detached: true,
    env: environmentOf(mark),
    stdio: ['ignore', output.fd, output.fd],
  });
  const { pid } = child;
  if (pid === undefined) {
    await once(child, 'error');
    throw new LabError('Cannot run setpriv, which limits a test: it comes with util-linux');
  }
  const timeout = AbortSignal.timeout(options.limitMs);
  const killed = AbortSignal.any([signal, timeout]);
  const kill = (): void => {
    killAll(pid, mark);
  };
  const exit = once(child, 'exit') as Promise<[number | null]>;
  killed.addEventListener('abort', kill, { once: true });
  try {
    const [code] = await exit;
    if (!killed.aborted) return { pid, code: code ?? undefined, end: 'by itself' };
    // What was being started while the group was killed.
    killMarked(mark);
    return { pid, code: undefined, end: signal.aborted ? 'aborted' : 'over its limit' };
  } finally {
    killed.removeEventListener('abort', kill);
  }
}

function environmentOf(mark: string): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { ...process.env, [MARK]: mark, NO_COLOR: '1' };
  // Inside of a test, node:test would report to that test's own runner.
  delete environment['NODE_TEST_CONTEXT'];
  return environment;
}

function killAll(group: number, mark: string): void {
  killIfThere(-group);
  killMarked(mark);
}

/** Kills processes that are in a group of their own. */
function killMarked(mark: string): void {
  for (const entry of readdirSync('/proc')) {
    if (/^\d+$/.test(entry) && isMarked(entry, mark)) killIfThere(Number(entry));
  }
}

function isMarked(pid: string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${mark}`);
  } catch {
    // It has ended, or is not ours to read.
    return false;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
