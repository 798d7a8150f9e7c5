import { type FSWatcher, watch } from 'node:fs';

/** Tells when something may have changed in a directory. Watching begins at once, so that no change is missed. */
export class DirectoryChanges implements Disposable {
  readonly #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(directory: string) {
    const notice = () => {
      this.#changed = true;
      this.#wake?.();
    };
    try {
      this.#watcher = watch(directory, notice);
      this.#watcher.on('error', notice);
    } catch {
      // Out of inotify watches: `next` then waits for its time only.
    }
  }

  /** Waits for a change since the last call, `timeoutMs` at most. */
  async next(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!this.#changed) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      const stop = () => resolve();
      this.#wake = resolve;
      signal.addEventListener('abort', stop, { once: true });
      await promise;
      signal.removeEventListener('abort', stop);
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#changed = false;
    signal.throwIfAborted();
  }

  [Symbol.dispose](): void {
    this.#watcher?.close();
  }
}
