/** What a terminal shows of what was written to it; knows as much of terminals as novactl uses. */
export class TerminalScreen {
  readonly rows: string[] = [''];
  column = 0;
  isCursorVisible = true;
  readonly #columns: number;

  constructor(columns: number) {
    this.#columns = columns;
  }

  write(text: string): void {
    // oxlint-disable-next-line no-control-regex
    for (const [token] of text.matchAll(/\u001b\[[?\d;]*[A-Za-z]|[^]/g)) this.#take(token);
  }

  #take(token: string): void {
    if (token === '\r') {
      this.column = 0;
    } else if (token === '\n') {
      this.rows.push('');
    } else if (token === '\u001b[2K') {
      this.#setRow('');
    } else if (token === '\u001b[?25l' || token === '\u001b[?25h') {
      this.isCursorVisible = token.endsWith('h');
    } else if (token.startsWith('\u001b')) {
      throw new Error(`Not known to this terminal: ${JSON.stringify(token)}`);
    } else {
      this.#put(token);
    }
  }

  #put(character: string): void {
    if (this.column === this.#columns) {
      this.rows.push('');
      this.column = 0;
    }
    const row = (this.rows.at(-1) ?? '').padEnd(this.column);
    this.#setRow(row.slice(0, this.column) + character + row.slice(this.column + 1));
    this.column += 1;
  }

  #setRow(row: string): void {
    this.rows[this.rows.length - 1] = row;
  }
}
