import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { formatDuration } from '../../src/cli/output/durations.ts';
import { inProject } from '../core/project.ts';
import { removeLabsOf } from '../remove-lab.ts';
import { findCapability } from './capabilities.ts';
import { type LimitedRun, runLimited } from './limited-process.ts';
import type { TestRecord } from './test-reporter.ts';
import type { TestResult } from './test-result.ts';

/** A test that hangs fails under its own name before its file does, and the rest of the file still runs. */
const TEST_SHARE = 0.5;

/** Runs one test file, which is killed and counts as failed once it takes longer than its limit. */
export async function runTestFile(
  file: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<TestResult> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-test-'));
  try {
    const [outputPath, recordsPath] = [path.join(folder, 'output'), path.join(folder, 'records')];
    const command = [
      process.execPath,
      `--import=${inProject('lab/test/compile-cache.ts')}`,
      `--test-timeout=${Math.ceil(limitMs * TEST_SHARE)}`,
      '--test-reporter=spec',
      '--test-reporter-destination=stdout',
      `--test-reporter=${inProject('lab/test/test-reporter.ts')}`,
      `--test-reporter-destination=${recordsPath}`,
      file,
    ];
    const start = performance.now();
    const run = await runLimited(command, { outputPath, limitMs }, signal);
    const durationMs = performance.now() - start;
    if (run.end !== 'by itself') await removeLabsOf(run.pid);
    signal.throwIfAborted();
    const records = await readRecords(recordsPath);
    const output = await readFile(outputPath, 'utf8');
    return { name: file, durationMs, ...judge(records, run, { limitMs, output }) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readRecords(file: string): Promise<TestRecord[]> {
  if (!existsSync(file)) return [];
  // The last line of a file that was killed may be cut short.
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as TestRecord);
}

function judge(
  records: readonly TestRecord[],
  run: LimitedRun,
  { limitMs, output }: { readonly limitMs: number; readonly output: string },
): Omit<TestResult, 'name' | 'durationMs'> {
  const failed = records.filter((record) => record.kind === 'failed');
  const failures = failed.map(({ test }) => test);
  const skipped = records.filter((record) => record.kind === 'skipped');
  const errors = failed.map(({ test, error }) => `${test}: ${error}\n`);
  const running = findRunning(records);
  if (run.end !== 'by itself') {
    failures.push(`killed after ${formatDuration(limitMs)}: ${describeHang(running)}`);
  } else if (run.code !== 0 && failures.length === 0) {
    failures.push(run.code === undefined ? 'was killed' : `ended with ${run.code}`);
  } else if (records.length === 0 || running.length > 0) {
    failures.push(`ended before its tests had: ${running.join(' > ') || 'none was seen'}`);
  }
  const unasked = skipped.filter(({ reason }) => findCapability(reason) === undefined);
  failures.push(
    ...unasked.map(({ test, reason }) => `must not be skipped: ${test} (${reason || 'no reason'})`),
  );
  return {
    passed: records.filter(({ kind }) => kind === 'passed').length,
    failed: failures.length,
    failures,
    skips: skipped.flatMap(({ reason }) => findCapability(reason) ?? []),
    // Node's own report names errors only once all tests have ended.
    output: run.end === 'by itself' ? output : [output, ...errors].join(''),
  };
}

/** Suites and tests that have begun and not ended, outermost first. */
function findRunning(records: readonly TestRecord[]): string[] {
  const running: string[] = [];
  for (const { kind, test } of records) {
    if (kind === 'begun') running.push(test);
    // One that is cancelled ends without having begun.
    if (kind === 'ended' && running.includes(test)) running.splice(running.lastIndexOf(test), 1);
  }
  return running;
}

function describeHang(running: readonly string[]): string {
  return running.length > 0
    ? `did not end: ${running.join(' > ')}`
    : 'no test was seen running: something was left open, or the thread never let go';
}
