import { inProject } from '../core/project.ts';
import { tryRun } from '../core/run-command.ts';
import { step } from '../core/steps.ts';

/** Runs the streamer's tests: plain, under the sanitizers, and a little fuzzing. Shows what fails. */
export async function runNativeTests(
  signal: AbortSignal,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const script = inProject('native/streamer/run-tests.sh');
  const { code, stdout, stderr } = await step(
    'Building the streamer in all its variants and testing it',
    () => tryRun([script, 'all'], { cwd: inProject() }, signal),
    (result) => result.stdout.trim().split('\n').at(-1) ?? '',
  );
  if (code !== 0) console.log(`${stdout}${stderr}`.trimEnd());
  return countNativeTests(stdout, code);
}

/** Reads the last line, `N passed, N failed`; a failure without it counts as one. */
export function countNativeTests(output: string, code: number): { passed: number; failed: number } {
  const counts = /(\d+) passed, (\d+) failed\s*$/.exec(output);
  const [passed, failed] = [Number(counts?.[1] ?? 0), Number(counts?.[2] ?? 0)];
  return { passed, failed: code === 0 ? failed : Math.max(failed, 1) };
}
