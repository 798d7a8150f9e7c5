import type { Logger } from './logger.ts';

/** Long-running work that ends with its owner. A task that throws is logged, never lost. */
export class TaskGroup implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts a task; it should return soon after its signal is aborted. */
  run(operation: string, task: (signal: AbortSignal) => Promise<void>): void {
    const running = this.#watch(operation, task).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Aborts all tasks and waits for them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new Error('stopping'));
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #watch(operation: string, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const signal = this.#controller.signal;
    try {
      await task(signal);
    } catch (error) {
      // Ending because it was told to is no failure.
      if (signal.aborted && error === signal.reason) return;
      this.#log.error({ operation, err: error }, 'Task failed');
    }
  }
}
