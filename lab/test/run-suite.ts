import { glob } from 'node:fs/promises';
import { inProject } from '../core/project.ts';
import type { FilesPart, Suite } from './suites.ts';
import { runTestFile } from './test-file.ts';
import { runTestProgram } from './test-program.ts';
import type { TestResult } from './test-result.ts';

const MINUTE_MS = 60_000;

export interface SuiteOptions {
  /** Only files whose path contains one of these, and no programs; empty for everything. */
  readonly paths: readonly string[];
  /** How many times longer than on a quiet machine a test may take. */
  readonly patience: number;
  /** Called as each result comes in. */
  readonly show: (result: TestResult) => void;
}

/** Runs the parts of a suite one after the other. */
export async function runSuite(
  suite: Suite,
  options: SuiteOptions,
  signal: AbortSignal,
): Promise<TestResult[]> {
  const results: TestResult[] = [];
  for (const part of suite.parts) {
    if ('folders' in part) {
      results.push(...(await runFiles(part, options, signal)));
    } else if (options.paths.length === 0) {
      const limitMs = part.limitMinutes * MINUTE_MS * options.patience;
      const result = await runTestProgram(part.program, limitMs, signal);
      options.show(result);
      results.push(result);
    }
  }
  return results;
}

async function runFiles(
  part: FilesPart,
  { paths, patience, show }: SuiteOptions,
  signal: AbortSignal,
): Promise<TestResult[]> {
  const patterns = part.folders.map((folder) => `test/${folder}/**/*.test.ts`);
  const found = await Array.fromAsync(glob(patterns, { cwd: inProject() }));
  const waiting = found
    .filter((file) => paths.length === 0 || paths.some((text) => file.includes(text)))
    .toSorted();
  const limitMs = part.fileLimitMinutes * MINUTE_MS * patience;
  const results: TestResult[] = [];
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const result = await runTestFile(file, limitMs, signal);
      show(result);
      results.push(result);
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: part.concurrency }, work));
  // Only now has every file ended, whatever has failed.
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason as Error;
  return results;
}
