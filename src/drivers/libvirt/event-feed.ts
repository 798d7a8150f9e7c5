import type { HypervisorEvent } from '../hypervisor-events.ts';

/** Events a watcher may lag behind; older ones are dropped, since events only say that something is worth a look. */
const MAX_WAITING = 1000;

/** Hands each event to everyone who watches. */
export class EventFeed {
  readonly #watchers = new Set<(event: HypervisorEvent) => void>();

  publish(event: HypervisorEvent): void {
    for (const deliver of this.#watchers) deliver(event);
  }

  /** Events from now on, kept while the watcher is busy. Ends, without an error, when the signal is aborted. */
  watch(signal: AbortSignal): AsyncIterable<HypervisorEvent> {
    const waiting: HypervisorEvent[] = [];
    let wake: (() => void) | undefined;
    const deliver = (event: HypervisorEvent): void => {
      if (waiting.length >= MAX_WAITING) waiting.shift();
      waiting.push(event);
      wake?.();
    };
    const stop = (): void => {
      this.#watchers.delete(deliver);
      signal.removeEventListener('abort', stop);
      wake?.();
    };
    if (!signal.aborted) {
      this.#watchers.add(deliver);
      signal.addEventListener('abort', stop);
    }
    async function* iterate(): AsyncGenerator<HypervisorEvent> {
      try {
        while (!signal.aborted) {
          const event = waiting.shift();
          if (event !== undefined) yield event;
          else {
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
          }
        }
      } finally {
        stop();
      }
    }
    return iterate();
  }
}
