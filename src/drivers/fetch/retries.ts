import { delay } from '../../core/delay.ts';
import { isRetryable } from './errors.ts';

export interface Retries {
  /** Before the second try, the third and so on. */
  readonly delaysMs: readonly number[];
  /** Whether the last try was worth it although it failed: the count begins again. */
  readonly hasProgressed?: () => Promise<boolean>;
}

/** What may go better with the next try gets some. */
export async function withRetries<T>(
  { delaysMs, hasProgressed }: Retries,
  work: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await work();
    } catch (error) {
      signal.throwIfAborted();
      if (!isRetryable(error)) throw error;
      if ((await hasProgressed?.()) === true) failures = 0;
      const pauseMs = delaysMs[failures];
      if (pauseMs === undefined) throw error;
      await delay(pauseMs, signal);
    }
  }
}
