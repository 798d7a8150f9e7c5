import type { Capability } from './capabilities.ts';
import type { Suite } from './suites.ts';

/** What came of a test file, or of a program that counts its tests itself. */
export interface TestResult {
  /** The file, relative to the repository, or the program. */
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  /** Names of tests that failed, or in words why the file as a whole did. */
  readonly failures: readonly string[];
  /** What the machine lacks, once for each test that was skipped for it. */
  readonly skips: readonly Capability[];
  readonly durationMs: number;
  /** All that it wrote, for people to read when it failed. */
  readonly output: string;
}

/** All chosen tests, run once. */
export interface Round {
  readonly suites: readonly SuiteRun[];
}

export interface SuiteRun {
  readonly suite: Suite;
  readonly results: readonly TestResult[];
  readonly durationMs: number;
}

export function countPassed(results: readonly TestResult[]): number {
  return results.reduce((total, { passed }) => total + passed, 0);
}

export function countFailed(results: readonly TestResult[]): number {
  return results.reduce((total, { failed }) => total + failed, 0);
}
