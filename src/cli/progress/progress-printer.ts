import type { Migration } from '../../client/api.ts';
import type { CliOutput } from '../process/cli-io.ts';
import { progressLine, progressLogLine } from './progress.ts';
import { TerminalLine } from './terminal-line.ts';

/** Between two lines of a log. */
const LOG_INTERVAL_MS = 500;

/**
 * Shows a migration's progress: one redrawn line on a terminal, elsewhere plain lines, at most two a second and none
 * that repeats the one before. Stop it with `clear`.
 */
export class ProgressPrinter {
  readonly #output: CliOutput;
  readonly #line: TerminalLine;
  /** The newest line of a log, which is written once the interval is over. */
  #waiting = '';
  #printed = '';
  #interval: NodeJS.Timeout | undefined;

  constructor(output: CliOutput) {
    this.#output = output;
    this.#line = new TerminalLine(output);
  }

  show(migration: Migration): void {
    if (this.#output.isTTY) {
      this.#line.draw(progressLine(migration, this.#line.columns));
      return;
    }
    this.#waiting = progressLogLine(migration);
    if (this.#interval === undefined) this.#print();
  }

  /** A message of its own; the progress goes on below it. */
  note(text: string): void {
    this.clear();
    this.#line.note(text);
  }

  /** Removes the redrawn line; what waits to be written to a log is not. */
  clear(): void {
    this.#line.erase();
    clearTimeout(this.#interval);
    this.#interval = undefined;
  }

  #print(): void {
    this.#interval = undefined;
    if (this.#waiting === this.#printed) return;
    this.#printed = this.#waiting;
    this.#output.write(`${this.#printed}\n`);
    this.#interval = setTimeout(() => this.#print(), LOG_INTERVAL_MS);
  }
}
