import { hasReason, type Reason } from '../../core/errors.ts';
import type { HookOutcome, HookRequest } from '../../drivers/hook-runner.ts';

/** Why a hook has not done what it was to do. */
export interface HookFailure {
  readonly reason: Extract<Reason, 'HOOK_FAILED' | 'HOOK_NOT_ALLOWED'>;
  /** Such as `its preStart hook /etc/novacron/hooks/lease ended with exit code 3`. */
  readonly text: string;
  /** What it has written last, as a sentence. */
  readonly said: string;
}

/** Undefined if it went well. */
export function outcomeFailure(
  request: HookRequest,
  { failure, output }: HookOutcome,
): HookFailure | undefined {
  if (failure === undefined) return undefined;
  const said = output === '' ? 'it said nothing' : `it said: ${output}`;
  return { reason: 'HOOK_FAILED', text: `${nameOf(request)} ${failure}`, said };
}

/** Of one that was not run at all. */
export function failureOfRun(request: HookRequest, error: unknown): HookFailure {
  const said = 'it has not begun';
  if (hasReason(error, 'HOOK_NOT_ALLOWED')) {
    const text = `${nameOf(request)} is not run on this node: ${error.message}`;
    return { reason: 'HOOK_NOT_ALLOWED', text, said };
  }
  const why = error instanceof Error ? error.message : String(error);
  return { reason: 'HOOK_FAILED', text: `${nameOf(request)} could not be run: ${why}`, said };
}

function nameOf({ hook, command: [program = ''] }: HookRequest): string {
  return `its ${hook} hook ${program}`;
}
