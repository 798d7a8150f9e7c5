import assert from 'node:assert/strict';
import { type IPty, spawn } from 'node-pty';
import { inProject } from '../../lab/core/project.ts';
import type { Lab } from '../../lab/lab.ts';
import { contextsFile } from '../../lab/node/novactl-contexts.ts';
import { PATIENCE_MS } from './moving-vm.ts';

/** novactl in a terminal of its own, with a shell around it that says afterwards how the terminal is. */
export class NovactlTerminal implements Disposable {
  readonly #terminal: IPty;
  #written = '';
  #seen = 0;
  #wake: () => void = () => undefined;
  readonly ended: Promise<void>;

  constructor(lab: Lab, args: readonly string[]) {
    const novactl = [process.execPath, inProject('dist/cli/main.js'), ...args];
    const script = 'stty -a | grep -o ".icanon"; "$@"; echo "exit $?"; stty -a | grep -o ".icanon"';
    const env = { ...process.env, NOVACTL_CONFIG: contextsFile(lab.plan) };
    this.#terminal = spawn('/bin/sh', ['-c', script, 'sh', ...novactl], {
      cols: 80,
      rows: 24,
      env,
    });
    this.#terminal.onData((data) => {
      this.#written += data;
      this.#wake();
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#terminal.onExit(() => resolve());
  }

  type(text: string): void {
    this.#terminal.write(text);
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  signal(name: string): void {
    this.#terminal.kill(name);
  }

  /** What has been shown after what was waited for before. */
  async shows(what: RegExp): Promise<string> {
    const endMs = performance.now() + PATIENCE_MS;
    for (;;) {
      const match = what.exec(this.#written.slice(this.#seen));
      if (match !== null) {
        this.#seen += match.index + match[0].length;
        return match[0];
      }
      assert.ok(performance.now() < endMs, `Never shown: ${what}\n${this.#written.slice(-3000)}`);
      await this.#more();
    }
  }

  /** Types it until the guest has said it back: what is typed while the console is had again may be lost. */
  async getsThrough(word: string): Promise<void> {
    const endMs = performance.now() + PATIENCE_MS;
    const said = new RegExp(`typed [^\\n]*${word}`);
    while (!said.test(this.#written.slice(this.#seen))) {
      assert.ok(performance.now() < endMs, `${word} does not get through`);
      this.type(`${word}\r`);
      await this.#more();
    }
  }

  async #more(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, 250);
    await promise;
    clearTimeout(timer);
  }

  [Symbol.dispose](): void {
    this.#terminal.kill('SIGKILL');
  }
}
