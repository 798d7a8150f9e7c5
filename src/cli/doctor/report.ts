import { printable } from '../output/table.ts';
import type { CheckResult } from './check.ts';

const MARKS = { ok: 'ok', warning: 'WARN', failure: 'FAIL', skipped: 'skip' } as const;

/** From what lies below to what is built on it: of several that fail, the first is the most likely cause of the others. */
const CAUSES_FIRST = [
  'configuration',
  'addresses',
  'libvirt socket',
  'other hypervisors',
  'libvirt',
  'folders',
  'disk space',
  'certificate',
  'permissions',
  'agent',
];
const LEVELS_FIRST = ['failure', 'warning', 'ok', 'skipped'] as const;

/** The cause first, then what follows from it, which says so instead of saying it again; what is well comes last. */
export function inOrder(results: readonly CheckResult[]): readonly CheckResult[] {
  const failed = results.filter(({ level }) => level === 'failure').map(({ name }) => name);
  return results
    .map(({ follows, ...result }) => {
      const cause = follows?.from.find((name) => failed.includes(name));
      if (follows === undefined || cause === undefined) return result;
      return { ...result, detail: follows.detail, fix: `See ${cause} above` };
    })
    .toSorted((one, other) => rank(one) - rank(other));
}

function rank({ name, level }: CheckResult): number {
  const depth = CAUSES_FIRST.indexOf(name);
  const within = level === 'failure' && depth >= 0 ? depth : CAUSES_FIRST.length;
  return LEVELS_FIRST.indexOf(level) * 100 + within;
}

/** One line a check and its fix below it, then the sum. */
export function doctorText(results: readonly CheckResult[]): string {
  const width = Math.max(...results.map(({ name }) => name.length));
  const lines = results.map(({ name, level, detail, fix }) => {
    const line = `${MARKS[level].padEnd(4)}  ${name.padEnd(width)}  ${printable(detail)}\n`;
    return fix === undefined ? line : `${line}${' '.repeat(width + 8)}To do: ${printable(fix)}\n`;
  });
  const count = (level: CheckResult['level']) =>
    results.filter((result) => result.level === level).length;
  const failures = count('failure');
  return `${lines.join('')}\n${failures} of ${results.length} checks failed, ${count('warning')} warn\n`;
}
