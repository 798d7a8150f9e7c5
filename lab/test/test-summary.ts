import { formatDuration } from '../../src/cli/output/durations.ts';
import {
  countFailed,
  countPassed,
  type Round,
  type SuiteRun,
  type TestResult,
} from './test-result.ts';

const LONGEST = 10;

/** One line, and for a failure all that the file wrote. */
export function describeResult(result: TestResult): string {
  const { name, passed, failed, failures, durationMs, output } = result;
  const time = formatDuration(durationMs);
  if (failed === 0) return `ok     ${name}: ${passed} passed, ${time}`;
  const lines = failures.map((failure) => `  ${failure}`);
  return [
    `FAILED ${name}: ${passed} passed, ${failed} failed, ${time}`,
    ...lines,
    output.trim(),
  ].join('\n');
}

/** What the user wants to know of a whole run, but for its last line. */
export function summarize(rounds: readonly Round[]): string[] {
  const lines = [...describeSkips(rounds), ...describeLongest(rounds)];
  if (rounds.length > 1) lines.push(...rounds.map(describeRound));
  lines.push(...describeFailures(rounds));
  return lines;
}

/** The suites that took longer than they may. */
export function describeOverruns(runs: readonly SuiteRun[]): string[] {
  return runs
    .filter(({ suite, durationMs }) => durationMs > suite.limitMinutes * 60_000)
    .map(({ suite, durationMs }) => {
      const time = formatDuration(durationMs);
      return `Suite ${suite.name} took ${time}, more than its ${suite.limitMinutes} minutes`;
    });
}

function describeLongest(rounds: readonly Round[]): string[] {
  const longest = new Map<string, number>();
  for (const { name, durationMs } of rounds.flatMap(resultsOf)) {
    longest.set(name, Math.max(durationMs, longest.get(name) ?? 0));
  }
  if (longest.size < 2) return [];
  const sorted = [...longest].toSorted(([, x], [, y]) => y - x).slice(0, LONGEST);
  return ['Took longest:', ...sorted.map(([name, ms]) => `  ${formatDuration(ms)} ${name}`)];
}

function describeSkips(rounds: readonly Round[]): string[] {
  const skips = rounds
    .slice(0, 1)
    .flatMap(resultsOf)
    .flatMap((result) => result.skips);
  const counts = [...Map.groupBy(skips, (skip) => skip)];
  if (counts.length === 0) return [];
  const words = counts.map(([name, tests]) => `${name} (${tests.length})`);
  return [`Skipped for what this machine lacks: ${words.join(', ')}`];
}

function describeRound(round: Round, at: number): string {
  const results = resultsOf(round);
  const durationMs = round.suites.reduce((total, run) => total + run.durationMs, 0);
  const counts = `${countPassed(results)} passed, ${countFailed(results)} failed`;
  return `Round ${at + 1}: ${counts}, ${formatDuration(durationMs)}`;
}

/** Each test that has ever failed, and in which rounds. */
function describeFailures(rounds: readonly Round[]): string[] {
  const failures = rounds.flatMap((round, at) =>
    resultsOf(round).flatMap(({ name, failures: own }) =>
      own.map((failure) => ({ test: `${name}: ${failure}`, round: at + 1 })),
    ),
  );
  if (failures.length === 0) return [];
  const tests = [...Map.groupBy(failures, ({ test }) => test)].map(([test, times]) =>
    rounds.length === 1
      ? `  ${test}`
      : `  ${test} (round ${times.map(({ round }) => round).join(', ')})`,
  );
  return ['Failed:', ...tests];
}

function resultsOf(round: Round): TestResult[] {
  return round.suites.flatMap(({ results }) => results);
}
