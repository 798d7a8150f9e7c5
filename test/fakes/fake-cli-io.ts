import type { CliIo, CliOutput, Keyboard, OutputFault } from '../../src/cli/process/cli-io.ts';

/** Remembers what is written to it. */
export class FakeOutput implements CliOutput {
  readonly isTTY: boolean;
  columns = 120;
  text = '';
  fault: OutputFault | undefined;
  /** What becomes of it when something is written. */
  readonly #faultToCome: OutputFault | undefined;

  constructor({ isTTY = false, fault }: { isTTY?: boolean; fault?: OutputFault } = {}) {
    this.isTTY = isTTY;
    this.#faultToCome = fault;
  }

  write(data: string | Uint8Array): void {
    this.fault = this.#faultToCome;
    if (this.fault !== undefined) return;
    this.text += typeof data === 'string' ? data : Buffer.from(data).toString();
  }
}

/** A command's world without a process. */
export class FakeCliIo implements CliIo {
  readonly stdout: FakeOutput;
  readonly stderr: FakeOutput;
  readonly env: Record<string, string | undefined> = {};
  readonly signal: AbortSignal;
  stdin = '';
  isInteractive = false;
  /** What is typed at it, one after the other. */
  secrets: string[] = [];
  /** Programs that had the terminal. */
  readonly ran: (readonly string[])[] = [];
  /** Of those that are no editor. */
  programExitCode = 0;
  /** What an editor does to a file; its exit code. */
  editor: (file: string) => Promise<number> = async () => 0;

  constructor(
    options: {
      readonly isTTY?: boolean;
      readonly signal?: AbortSignal;
      /** What becomes of standard output when something is written to it. */
      readonly fault?: OutputFault;
    } = {},
  ) {
    const { isTTY = false, fault } = options;
    this.stdout = new FakeOutput(fault === undefined ? {} : { fault });
    this.stderr = new FakeOutput({ isTTY });
    this.signal = options.signal ?? new AbortController().signal;
  }

  async runOnTerminal(program: string, args: readonly string[]): Promise<number> {
    this.ran.push([program, ...args]);
    if (program !== '/bin/sh') return this.programExitCode;
    const file = args.at(-1) ?? '';
    return this.editor(file);
  }

  async readStdin(): Promise<string> {
    return this.stdin;
  }

  /** Types what `stdin` has, and no more. */
  openKeyboard(): Keyboard {
    const typed = Buffer.from(this.stdin);
    return {
      isTTY: this.stderr.isTTY,
      input: (async function* () {
        yield typed;
      })(),
      size: () => undefined,
      onResize() {},
      [Symbol.dispose]() {},
    };
  }

  async readStdinBytes(): Promise<Uint8Array> {
    return Buffer.from(this.stdin);
  }

  async readSecret(prompt: string): Promise<string> {
    if (!this.isInteractive) return this.stdin.split('\n')[0] ?? '';
    this.stderr.write(prompt);
    return this.secrets.shift() ?? '';
  }
}
