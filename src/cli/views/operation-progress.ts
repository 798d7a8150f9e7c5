import type { OperationProgress } from '../../client/api.ts';
import { durationMs } from '../../client/time.ts';
import { formatAge } from '../output/durations.ts';

/**
 * How far an operation has come: `43%`, `12s of 5m`, empty where nobody can tell. `sinceMs` is how long ago that was said, as
 * what is waited for has been so longer since.
 */
export function progressText(progress: OperationProgress | undefined, sinceMs = 0): string {
  const { fractionDone, waited, timeLeft } = progress ?? {};
  if (fractionDone !== undefined) return `${Math.floor(fractionDone * 100)}%`;
  if (waited === undefined) return '';
  const waitedMs = durationMs(waited);
  const age = formatAge(waitedMs + sinceMs);
  if (timeLeft === undefined) return age;
  // Both are of one moment, and what they add up to a number of whole seconds but for rounding.
  const inAllMs = Math.round((waitedMs + durationMs(timeLeft)) / 1_000) * 1_000;
  return `${age} of ${formatAge(inAllMs)}`;
}
