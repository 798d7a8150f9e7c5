/**
 * Much that has become ready at one time, such as all answers that waited for the same listing, is gone on with piece by piece, so
 * that whatever else waits for the event loop is served in between.
 */
export class EventLoopTurns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves in the order of asking, one in each turn of the event loop. */
  next(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#waiting.push(resolve) === 1) setImmediate(this.#resolveFirst);
    return promise;
  }

  readonly #resolveFirst = (): void => {
    this.#waiting.shift()?.();
    if (this.#waiting.length > 0) setImmediate(this.#resolveFirst);
  };
}
