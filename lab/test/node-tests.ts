import { existsSync } from 'node:fs';
import { glob, mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { runAttached } from '../core/run-command.ts';
import type { Skip } from './skips.ts';
import type { TestRecord } from './test-reporter.ts';

export interface TestTotals {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly Skip[];
}

/** Runs test files of `kinds` whose path contains the filter, several at once, and shows node's own report. */
export async function runNodeTests(
  kinds: readonly string[],
  options: { readonly filter: string; readonly concurrency: number },
  signal: AbortSignal,
): Promise<TestTotals> {
  const patterns = kinds.map((kind) => `test/${kind}/**/*.test.ts`);
  const found = await Array.fromAsync(glob(patterns, { cwd: inProject() }));
  const files = found.filter((file) => file.includes(options.filter)).toSorted();
  if (files.length === 0) return { passed: 0, failed: 0, skips: [] };
  const records = inProject('build/lab', `tests-${kinds.join('-')}.jsonl`);
  await mkdir(path.dirname(records), { recursive: true });
  await rm(records, { force: true });
  const reporters = [
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${inProject('lab/test/test-reporter.ts')}`,
    `--test-reporter-destination=${records}`,
  ];
  const flags = ['--test', `--test-concurrency=${options.concurrency}`, ...reporters];
  const code = await runAttached(
    [process.execPath, ...flags, ...files],
    { cwd: inProject() },
    signal,
  );
  return totalsOf(await readRecords(records), code);
}

async function readRecords(file: string): Promise<TestRecord[]> {
  if (!existsSync(file)) return [];
  const lines = (await readFile(file, 'utf8')).trim().split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as TestRecord);
}

function totalsOf(records: readonly TestRecord[], code: number): TestTotals {
  const skips = records.filter((record) => record.kind === 'skip');
  const summary = records.find((record) => record.kind === 'summary') ?? { passed: 0, failed: 0 };
  // A run that fails without naming a test has failed all the same.
  const failed = code === 0 ? summary.failed : Math.max(summary.failed, 1);
  return { passed: summary.passed, failed, skips };
}
