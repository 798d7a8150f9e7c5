import type { Migration } from '../client/api.ts';
import type { CliOutput } from './cli-io.ts';
import { progressLine, progressLogLine } from './progress.ts';

/** Lines for a log come at a change of phase and otherwise no more often than this. */
const LOG_INTERVAL_MS = 5_000;
const ERASE_LINE = '\r\u001b[2K';

/** Shows a migration's progress: one redrawn line on a terminal, plain lines elsewhere. */
export class ProgressPrinter {
  readonly #output: CliOutput;
  readonly #now: () => number;
  #phase: number | undefined;
  #printedAtMs = -Infinity;
  #lineIsOpen = false;

  constructor(output: CliOutput, now: () => number = Date.now) {
    this.#output = output;
    this.#now = now;
  }

  show(migration: Migration): void {
    if (this.#output.isTTY) {
      this.#output.write(`${ERASE_LINE}${progressLine(migration, this.#output.columns)}`);
      this.#lineIsOpen = true;
      return;
    }
    const phase = migration.status?.phase;
    const now = this.#now();
    if (phase === this.#phase && now - this.#printedAtMs < LOG_INTERVAL_MS) return;
    this.#phase = phase;
    this.#printedAtMs = now;
    this.#output.write(`${progressLogLine(migration)}\n`);
  }

  /** A message of its own; the progress goes on below it. */
  note(text: string): void {
    this.clear();
    this.#output.write(`${text}\n`);
  }

  /** Removes the redrawn line. */
  clear(): void {
    if (this.#lineIsOpen) this.#output.write(ERASE_LINE);
    this.#lineIsOpen = false;
  }
}
