import { RunLog } from '../test/run-log.ts';
import { runRounds } from '../test/run-rounds.ts';
import { FAST, NAMED_SUITES, RARE_SUITES } from '../test/suites.ts';
import { parseTestRequest, type TestRequest } from '../test/test-request.ts';
import { countFailed, countPassed, type SuiteRun } from '../test/test-result.ts';
import { describeOverruns, summarize } from '../test/test-summary.ts';
import { buildAll } from './build.ts';
import { runChecks } from './check.ts';
import type { Verb } from './verb.ts';

const SUITES = [...NAMED_SUITES, ...RARE_SUITES].map((suite) => suite.name).join('|');

export const test: Verb = {
  name: 'test',
  usage: `[all|${SUITES}] [--path TEXT] [--repeat N] [--busy N]`,
  summary: 'checks and the fast suite, a named suite or all; N times, beside N busy processes',
  async run(args, signal) {
    const request = parseTestRequest(args);
    await buildAll(signal);
    const log = new RunLog();
    const start = performance.now();
    const withChecks = request.suites.includes(FAST) && request.paths.length === 0;
    const failedChecks = withChecks ? await runChecks(log.say, signal) : 0;
    const checksMs = performance.now() - start;
    const rounds = await runRounds(request, log, signal);
    const runs = rounds.flatMap(({ suites }) => suites);
    const overruns = isMeasured(request) ? describeOverruns(addChecks(runs, checksMs)) : [];
    for (const line of [...summarize(rounds), ...overruns]) log.say(line);
    if (failedChecks > 0) log.say(`${failedChecks} of the checks failed`);
    const results = runs.flatMap((run) => run.results);
    const [passed, failed] = [countPassed(results), countFailed(results)];
    if (passed + failed === 0) log.say(`No test has ${request.paths.join(' or ')} in its path`);
    log.say(`All of this is kept in ${log.file}`);
    log.say(`${passed} passed, ${failed} failed`);
    // Elsewhere the machine may be slower, or have other things to do.
    const isTooSlow = overruns.length > 0 && process.env['CI'] === 'true';
    return failed + failedChecks === 0 && passed > 0 && !isTooSlow ? 0 : 1;
  },
};

/** Whether the time that it takes says something about the suites. */
function isMeasured({ paths, repeat, busy }: TestRequest): boolean {
  return paths.length === 0 && repeat === 1 && busy === 0;
}

/** The checks are part of the fast suite. */
function addChecks(runs: readonly SuiteRun[], checksMs: number): SuiteRun[] {
  return runs.map((run) =>
    run.suite === FAST ? { ...run, durationMs: run.durationMs + checksMs } : run,
  );
}
