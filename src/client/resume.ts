import { delay } from '../core/delay.ts';
import { AgentError } from '../core/errors.ts';

export interface ResumeOptions {
  readonly signal: AbortSignal;
  /** Told when a connection is lost, before waiting to connect again. */
  readonly onLost?: ((error: AgentError | undefined) => void) | undefined;
  /** First wait before connecting again; doubles up to `maxDelayMs`. 100 ms and 5 s if not given. */
  readonly minDelayMs?: number | undefined;
  readonly maxDelayMs?: number | undefined;
  /** How long the agent may be away at a time; then it fails as the last connection did. For ever if not given. */
  readonly patienceMs?: number | undefined;
}

/**
 * Opens a stream again and again until aborted. A first connection that fails is the caller's to handle, unless `isLoss` says
 * otherwise; once anything has been received, losses and WATCH_EXPIRED are waited out. Other errors end it.
 */
export async function* resume<T>(
  open: () => AsyncIterable<T>,
  options: ResumeOptions,
  isLoss: (error: AgentError) => boolean = () => false,
): AsyncGenerator<T, void, undefined> {
  const { signal, onLost, minDelayMs = 100, maxDelayMs = 5_000 } = options;
  const { patienceMs = Number.POSITIVE_INFINITY } = options;
  let wasThere = false;
  let delayMs = minDelayMs;
  let awaySinceMs: number | undefined;
  for (;;) {
    let lost: AgentError | undefined;
    try {
      for await (const message of open()) {
        wasThere = true;
        delayMs = minDelayMs;
        awaySinceMs = undefined;
        yield message;
      }
    } catch (error) {
      if (!canResume(error) || !(wasThere || isLoss(error))) throw error;
      lost = error;
      wasThere = true;
    }
    awaySinceMs ??= performance.now();
    if (lost !== undefined && performance.now() - awaySinceMs >= patienceMs) throw lost;
    onLost?.(lost);
    // A little randomness, so that a thousand watchers do not come back at once.
    await delay(delayMs * (0.5 + Math.random() / 2), signal);
    delayMs = Math.min(delayMs * 2, maxDelayMs);
  }
}

function canResume(error: unknown): error is AgentError {
  return (
    error instanceof AgentError &&
    (error.kind === 'unavailable' || error.reason === 'WATCH_EXPIRED')
  );
}
