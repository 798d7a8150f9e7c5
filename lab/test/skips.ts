import type { TestRecord } from './test-reporter.ts';

export type Skip = Extract<TestRecord, { kind: 'skip' }>;

/** Reasons of `test/allowed-skips.txt`: one a line; empty lines and those after `#` mean nothing. */
export function parseAllowedSkips(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '');
}

/** Skips that make a run fail: on CI every one, elsewhere those whose reason begins like none that is allowed. */
export function findForbiddenSkips(
  skips: readonly Skip[],
  allowed: readonly string[],
  isCi: boolean,
): Skip[] {
  return skips.filter((skip) => isCi || !allowed.some((reason) => skip.reason.startsWith(reason)));
}
