import { readFile } from 'node:fs/promises';
import { inProject } from '../core/project.ts';
import { runNativeTests } from '../test/native-tests.ts';
import { runNodeTests } from '../test/node-tests.ts';
import { findForbiddenSkips, parseAllowedSkips } from '../test/skips.ts';
import { buildAll } from './build.ts';
import { runChecks } from './check.ts';
import type { Verb } from './verb.ts';

// Tests that start VMs need the machine's two CPUs for themselves; the others do not.
const KINDS = [
  { names: ['unit', 'contract'], concurrency: 2 },
  { names: ['integration'], concurrency: 1 },
  { names: ['e2e'], concurrency: 1 },
] as const;

export const test: Verb = {
  name: 'test',
  usage: '[filter]',
  summary: 'checks and all tests; with a filter only node tests whose path contains it',
  async run([filter], signal) {
    await buildAll(signal);
    const failedChecks = filter === undefined ? await runChecks(signal) : 0;
    const totals = filter === undefined ? [await runNativeTests(signal)] : [];
    const skips = [];
    for (const { names, concurrency } of KINDS) {
      const result = await runNodeTests(names, { filter: filter ?? '', concurrency }, signal);
      totals.push(result);
      skips.push(...result.skips);
    }
    const allowed = parseAllowedSkips(await readFile(inProject('test/allowed-skips.txt'), 'utf8'));
    const forbidden = findForbiddenSkips(skips, allowed, process.env['CI'] === 'true');
    for (const skip of forbidden) {
      console.log(
        `Must not be skipped: ${skip.file}: ${skip.test} (${skip.reason || 'no reason'})`,
      );
    }
    if (failedChecks > 0) console.log(`${failedChecks} of the checks failed`);
    const passed = sum(totals.map((result) => result.passed));
    const failed = sum(totals.map((result) => result.failed)) + forbidden.length;
    if (passed + failed === 0) console.log(`No test has ${filter ?? ''} in its path`);
    console.log(`${passed} passed, ${failed} failed`);
    return failed + failedChecks === 0 && passed > 0 ? 0 : 1;
  },
};

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
