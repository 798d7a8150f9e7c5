import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from './project.ts';

const INTERVAL_MS = 20;

/** Repeats the check until it gives something other than undefined or false. Fails naming `what` after the timeout. */
export async function waitUntil<T>(
  what: string,
  timeoutMs: number,
  check: () => T | undefined | false | Promise<T | undefined | false>,
  signal: AbortSignal,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > end) throw new LabError(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(INTERVAL_MS, undefined, { signal });
  }
}
