import { BusyProcesses } from './busy-processes.ts';
import type { RunLog } from './run-log.ts';
import { runSuite } from './run-suite.ts';
import type { TestRequest } from './test-request.ts';
import type { Round, SuiteRun, TestResult } from './test-result.ts';
import { describeResult } from './test-summary.ts';

/** Runs what was asked for, as often as was asked, beside as many busy processes. */
export async function runRounds(
  request: TestRequest,
  log: RunLog,
  signal: AbortSignal,
): Promise<Round[]> {
  await using _busy = new BusyProcesses(request.busy);
  const options = {
    paths: request.paths,
    // Each busy process takes as much of a CPU as a test does.
    patience: 1 + request.busy,
    show: (result: TestResult) => {
      log.say(describeResult(result));
    },
  };
  const rounds: Round[] = [];
  for (let at = 1; at <= request.repeat; at += 1) {
    if (request.repeat > 1) log.say(`Round ${at} of ${request.repeat}`);
    const suites: SuiteRun[] = [];
    for (const suite of request.suites) {
      const start = performance.now();
      const results = await runSuite(suite, options, signal);
      suites.push({ suite, results, durationMs: performance.now() - start });
    }
    rounds.push({ suites });
  }
  return rounds;
}
