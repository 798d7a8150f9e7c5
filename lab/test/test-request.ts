import { parseArgs } from 'node:util';
import { LabError } from '../core/project.ts';
import { FAST, NAMED_SUITES, RARE_SUITES, type Suite } from './suites.ts';

const ALL = 'all';

/** What the user asks `./dev test` for. */
export interface TestRequest {
  readonly suites: readonly Suite[];
  readonly paths: readonly string[];
  readonly repeat: number;
  readonly busy: number;
}

/** Fails, saying what there is, if the words make no sense. */
export function parseTestRequest(args: readonly string[]): TestRequest {
  const { values, positionals } = parse(args);
  const paths = values.path ?? [];
  const [name, ...more] = positionals;
  if (more.length > 0) throw new LabError('./dev test runs one suite at a time, or all of them');
  return {
    suites: name === undefined ? suitesFor(paths) : chooseSuites(name),
    paths,
    repeat: parseCount('--repeat', values.repeat ?? '1', 1),
    busy: parseCount('--busy', values.busy ?? '0', 0),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        path: { type: 'string', multiple: true },
        repeat: { type: 'string' },
        busy: { type: 'string' },
      },
    });
  } catch (error) {
    if (error instanceof TypeError) throw new LabError(error.message);
    throw error;
  }
}

/** Who names a file need not know its suite. */
function suitesFor(paths: readonly string[]): readonly Suite[] {
  return paths.length > 0 ? [FAST, ...NAMED_SUITES, ...RARE_SUITES] : [FAST];
}

function chooseSuites(name: string): readonly Suite[] {
  const all = [FAST, ...NAMED_SUITES];
  if (name === ALL) return all;
  const chosen = [...all, ...RARE_SUITES].filter((suite) => suite.name === name);
  if (chosen.length > 0) return chosen;
  const [known, rare] = [all, RARE_SUITES].map(describe);
  throw new LabError(
    `There is no suite ${name}. There are\n${known}  all: these\nand by its name alone\n${rare}--path ${name} runs the tests with that in their path`,
  );
}

function describe(suites: readonly Suite[]): string {
  return suites.map(({ name, about }) => `  ${name}: ${about}\n`).join('');
}

function parseCount(option: string, text: string, least: number): number {
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= least) return count;
  throw new LabError(`${option} takes a number from ${least} on, not ${text}`);
}
