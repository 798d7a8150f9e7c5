type Forget = () => void;
type Settle = (outcome: Promise<unknown>) => void;

/**
 * Who waits for what. A promise keeps whoever has once waited for it until it settles, and cannot be told that somebody has
 * given up: on one that lasts as long as the agent that grows for ever, by a race as well. So each is waited for once, in
 * behalf of all. Nothing here outlives the promise.
 */
const waiting = new WeakMap<Promise<unknown>, Set<Settle>>();

/** Settles as the work does, or rejects with the signal's reason as soon as that is aborted. The work goes on. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  const forget = whenSettled(work, (outcome) => resolve(outcome as Promise<T>));
  if (signal.aborted) onAbort();
  try {
    return await promise;
  } finally {
    forget();
    signal.removeEventListener('abort', onAbort);
  }
}

function whenSettled(work: Promise<unknown>, settle: Settle): Forget {
  const known = waiting.get(work);
  const waiters = known ?? new Set<Settle>();
  waiters.add(settle);
  if (known === undefined) {
    waiting.set(work, waiters);
    const settleAll = (): void => {
      waiting.delete(work);
      for (const each of waiters) each(work);
    };
    work.then(settleAll, settleAll);
  }
  return () => void waiters.delete(settle);
}
