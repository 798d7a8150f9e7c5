import type { CliOutput } from '../process/cli-io.ts';

const ERASE_LINE = '\r\u001b[2K';
// Some terminals wrap at the last column, and at Ctrl-C they write ^C themselves.
const MARGIN = 3;

/** The last line of a terminal, drawn again and again. */
export class TerminalLine {
  readonly #output: CliOutput;
  #isOpen = false;

  constructor(output: CliOutput) {
    this.#output = output;
  }

  /** What is too long is cut. */
  draw(text: string): void {
    this.#output.write(`${ERASE_LINE}${text.slice(0, this.columns)}`);
    this.#isOpen = true;
  }

  /** How much of a line is shown. */
  get columns(): number {
    return Math.max(0, this.#output.columns - MARGIN);
  }

  /** A message of its own; what is drawn next stands below it. */
  note(text: string): void {
    this.erase();
    this.#output.write(`${text}\n`);
  }

  erase(): void {
    if (this.#isOpen) this.#output.write(ERASE_LINE);
    this.#isOpen = false;
  }
}
