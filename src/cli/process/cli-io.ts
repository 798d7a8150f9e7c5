/** Why an output takes nothing more: nobody reads it any longer, or it has no room. */
export type OutputFault = 'closed' | { readonly message: string };

export interface CliOutput {
  readonly isTTY: boolean;
  readonly columns: number;
  /** Set once something could not be written. What goes on without an end need not then. */
  readonly fault: OutputFault | undefined;
  /** Never fails: what has been begun goes on whether or not it can be told of. */
  write(data: string | Uint8Array): void;
}

/** Standard input as it comes. */
export interface Keyboard extends Disposable {
  readonly isTTY: boolean;
  /** To be iterated once. */
  readonly input: AsyncIterable<Uint8Array>;
  /** The size of the terminal, undefined where that is not known; told anew when it changes. */
  readonly size: () => TerminalSize | undefined;
  readonly onResize: (listener: () => void) => void;
}

interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** Everything a command has to do with the process it runs in. */
export interface CliIo {
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C with Interrupted. */
  readonly signal: AbortSignal;
  /** Whether standard input is a terminal that somebody types at. */
  readonly isInteractive: boolean;
  readStdin(): Promise<string>;
  /** What is typed, key by key where it is a terminal: Ctrl-C comes as a byte then. Dispose of it to have the terminal as before. */
  openKeyboard(): Keyboard;
  /** Fails with INVALID_REQUEST for more. */
  readStdinBytes(maxBytes: number): Promise<Uint8Array>;
  /** A line that is typed at the terminal and not shown, after a prompt; without a terminal the first line of standard input. */
  readSecret(prompt: string): Promise<string>;
  /** Runs a program on the terminal, which has Ctrl-C to itself until it ends; gives its exit code. Fails with ENOENT if there is none. */
  runOnTerminal(program: string, args: readonly string[]): Promise<number>;
}

/** Why an output has no room; undefined if it has, or if nobody reads it, which is no failure. */
export function outputProblem({ fault }: CliOutput): string | undefined {
  return fault === undefined || fault === 'closed' ? undefined : fault.message;
}

/** Prints what has begun; where standard output has no room, standard error tells of it, as nobody could find it otherwise. */
export function writeBegun(io: CliIo, text: string): void {
  io.stdout.write(text);
  if (outputProblem(io.stdout) !== undefined) io.stderr.write(text);
}
