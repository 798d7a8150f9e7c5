import { glob, mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { formatDuration } from '../../src/cli/output/durations.ts';
import { checkCompatibility } from '../check/api-compatibility.ts';
import { inProject } from '../core/project.ts';
import { type CommandResult, tryRun } from '../core/run-command.ts';
import type { Verb } from './verb.ts';

export const check: Verb = {
  name: 'check',
  usage: '',
  summary: 'types, format, lint, layers, dead code, API, generated code, shell scripts',
  async run(_args, signal) {
    const failed = await runChecks(console.log, signal);
    if (failed === 0) return 0;
    console.error(`${failed} of the checks failed`);
    return 1;
  },
};

interface CheckResult extends CommandResult {
  /** Shown when all is well. */
  readonly detail?: string;
}

interface Check {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<CheckResult>;
}

const LAYERS = ['test/unit/layers.test.ts', 'test/unit/import-circles.test.ts'];
const LINTED = ['src', 'test', 'lab', 'bench'];

const CHECKS: readonly Check[] = [
  tool('types (tsc)', ['tsc']),
  tool('format (biome)', ['biome', 'ci', '--colors=off', '.']),
  tool('lint (oxlint)', ['oxlint', '--type-aware', '--deny-warnings', ...LINTED]),
  { name: 'layers (node --test)', run: checkLayers },
  tool('dead code (knip)', ['knip']),
  tool('API rules (buf lint)', ['buf', 'lint']),
  tool('API format (buf format)', ['buf', 'format', '--diff', '--exit-code']),
  {
    name: 'API compatibility (buf breaking)',
    run: async (signal) => checkCompatibility(inProject(), signal),
  },
  { name: 'installed packages (package-lock.json)', run: checkInstalled },
  { name: 'generated code (buf generate)', run: checkGenerated },
  { name: 'shell scripts (shellcheck)', run: checkShell },
];

/** Runs all checks even if one fails, says a line for each, and gives the number of those that failed. */
export async function runChecks(say: (text: string) => void, signal: AbortSignal): Promise<number> {
  let failed = 0;
  for (const { name, run } of CHECKS) {
    const start = performance.now();
    const { code, stdout, stderr, detail = '' } = await run(signal);
    const time = formatDuration(performance.now() - start);
    const suffix = code !== 0 || detail === '' ? '' : `: ${detail}`;
    say(`${code === 0 ? 'ok    ' : 'FAILED'} ${name} ${time}${suffix}`);
    if (code === 0) continue;
    failed += 1;
    say(`${stdout}${stderr}`.trimEnd());
  }
  return failed;
}

function tool(name: string, [program = '', ...args]: readonly string[]): Check {
  const command = [inProject('node_modules/.bin', program), ...args];
  const env = { ...process.env, NO_COLOR: '1' };
  return { name, run: async (signal) => tryRun(command, { cwd: inProject(), env }, signal) };
}

interface LockFile {
  readonly packages: Readonly<
    Record<string, { readonly version?: string; readonly integrity?: string }>
  >;
}

/** Every package that is installed must be the one that the lock file names. */
async function checkInstalled(): Promise<CommandResult> {
  const [lock, installed] = await Promise.all(
    ['package-lock.json', 'node_modules/.package-lock.json'].map(
      async (file) => JSON.parse(await readFile(inProject(file), 'utf8')) as LockFile,
    ),
  );
  const differing = Object.entries(installed?.packages ?? {}).filter(
    ([name, { version, integrity }]) =>
      lock?.packages[name]?.version !== version || lock?.packages[name]?.integrity !== integrity,
  );
  const lines = differing.map(
    ([name, { version }]) => `${name} ${version} is not in package-lock.json\n`,
  );
  return { code: lines.length === 0 ? 0 : 1, stdout: lines.join(''), stderr: '' };
}

/** What `buf generate` makes now must be what src/gen holds. */
async function checkGenerated(signal: AbortSignal): Promise<CommandResult> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-gen-'));
  try {
    const buf = inProject('node_modules/.bin/buf');
    const made = await tryRun([buf, 'generate', '-o', folder], { cwd: inProject() }, signal);
    if (made.code !== 0) return made;
    return await tryRun(['diff', '-ru', inProject('src/gen'), `${folder}/src/gen`], {}, signal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function checkLayers(signal: AbortSignal): Promise<CommandResult> {
  const command = [process.execPath, '--test', ...LAYERS];
  return tryRun(command, { cwd: inProject() }, signal);
}

async function checkShell(signal: AbortSignal): Promise<CommandResult> {
  const patterns = [
    '{lab,native,deploy,test,bench}/**/*.sh',
    'deploy/debian/p{ostinst,ostrm,rerm}',
    'dev',
    '.ci/run',
  ];
  const scripts = await Array.fromAsync(glob(patterns, { cwd: inProject() }));
  return tryRun(['shellcheck', ...scripts.toSorted()], { cwd: inProject() }, signal);
}
