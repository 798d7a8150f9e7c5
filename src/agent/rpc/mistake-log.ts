import type { Logger } from '../../core/logger.ts';

/** What was wrong with a call that its caller can mend. */
export interface Mistake {
  readonly method: string;
  readonly caller: string;
  /** The error's reason. */
  readonly outcome: string;
}

const WINDOW_MS = 10_000;
const LINES_IN_WINDOW = 10;

/**
 * Writes down callers' mistakes: a caller that makes the same one again and again gets so many lines, and then one that says how often.
 * To write a line costs a good part of what it costs to refuse a call, and a log that is full of them hides all else.
 */
export class MistakeLog {
  readonly #log: Logger;
  readonly #counts = new Map<string, { readonly mistake: Mistake; count: number }>();

  constructor(log: Logger) {
    this.#log = log;
  }

  write(mistake: Mistake & Readonly<Record<string, unknown>>): void {
    if (this.#counts.size === 0) setTimeout(() => this.#endWindow(), WINDOW_MS).unref();
    const { method, caller, outcome } = mistake;
    const key = JSON.stringify([method, caller, outcome]);
    const entry = this.#counts.get(key) ?? { mistake: { method, caller, outcome }, count: 0 };
    this.#counts.set(key, entry);
    entry.count += 1;
    if (entry.count <= LINES_IN_WINDOW) this.#log.info(mistake, 'Call failed');
  }

  #endWindow(): void {
    for (const { mistake, count } of this.#counts.values()) {
      const more = count - LINES_IN_WINDOW;
      if (more > 0) this.#log.info({ ...mistake, count: more }, 'More calls failed like these');
    }
    this.#counts.clear();
  }
}
