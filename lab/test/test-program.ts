import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { formatDuration } from '../../src/cli/output/durations.ts';
import { inProject } from '../core/project.ts';
import { type LimitedRun, runLimited } from './limited-process.ts';
import type { TestResult } from './test-result.ts';

/** Runs a program of the repository that tests, names each failure by `FAIL`, and counts in its last line. */
export async function runTestProgram(
  [program = '', ...args]: readonly string[],
  limitMs: number,
  signal: AbortSignal,
): Promise<TestResult> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-test-'));
  try {
    const outputPath = path.join(folder, 'output');
    const start = performance.now();
    const command = [inProject(program), ...args];
    const run = await runLimited(command, { outputPath, limitMs }, signal);
    const durationMs = performance.now() - start;
    signal.throwIfAborted();
    const output = await readFile(outputPath, 'utf8');
    const name = [program, ...args].join(' ');
    return { name, durationMs, skips: [], output, ...judgeProgram(output, run, limitMs) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Reads the last line, `N passed, N failed`. A run that fails without counting a failure counts as one. */
export function judgeProgram(
  output: string,
  run: Pick<LimitedRun, 'code' | 'end'>,
  limitMs: number,
): Pick<TestResult, 'passed' | 'failed' | 'failures'> {
  const counts = /(\d+) passed, (\d+) failed\s*$/.exec(output);
  const [passed, counted] = [Number(counts?.[1] ?? 0), Number(counts?.[2] ?? 0)];
  const failures = [...output.matchAll(/^FAIL (.+)$/gm)].map(([, name = '']) => name);
  if (run.end !== 'by itself') failures.push(`killed after ${formatDuration(limitMs)}`);
  const failed = run.code === 0 ? counted : Math.max(counted, 1);
  if (failed > 0 && failures.length === 0) failures.push(`ended with ${run.code ?? 'a signal'}`);
  return { passed, failed, failures };
}
