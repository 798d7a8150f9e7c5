import { printable } from '../output/table.ts';
import type { CheckResult } from './check.ts';

const MARKS = { ok: 'ok', warning: 'WARN', failure: 'FAIL', skipped: 'skip' } as const;

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
