import type { Lifecycle } from '../../core/resources/lifecycle.ts';
import type { HookName, HookRunner } from '../../drivers/hook-runner.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** Everything that keeps hooks of a VM from being run on this node, by field. */
export async function hookViolations(
  lifecycle: Lifecycle | undefined,
  names: readonly HookName[],
  hooks: Pick<HookRunner, 'findProblem'>,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  const looks = names.map(async (name): Promise<readonly SpecViolation[]> => {
    const program = lifecycle?.[name]?.exec.command[0];
    if (program === undefined) return [];
    const problem = await hooks.findProblem(program, signal);
    if (problem === undefined) return [];
    const field = `${MACHINE}.lifecycle.${name}.exec.command[0]`;
    const description = `is ${program}, which is not run on this node: ${problem}`;
    return [{ field, description, reason: 'HOOK_NOT_ALLOWED' }];
  });
  return (await Promise.all(looks)).flat();
}
