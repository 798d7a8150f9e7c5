import { text } from 'node:stream/consumers';
import { Interrupted } from './exit-codes.ts';

export interface CliOutput {
  readonly isTTY: boolean;
  readonly columns: number;
  write(data: string | Uint8Array): void;
}

/** Everything a command has to do with the process it runs in. */
export interface CliIo {
  readonly stdout: CliOutput;
  readonly stderr: CliOutput;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C with Interrupted. */
  readonly signal: AbortSignal;
  readStdin(): Promise<string>;
}

/** The process's own. A second Ctrl-C ends it at once. */
export function processIo(): CliIo {
  const interrupt = new AbortController();
  process.once('SIGINT', () => interrupt.abort(new Interrupted('Interrupted')));
  process.once('SIGTERM', () => interrupt.abort(new Interrupted('Terminated')));
  // `novactl vm list | head -1` closes the pipe early, which is no failure.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
  return {
    stdout: outputOf(process.stdout),
    stderr: outputOf(process.stderr),
    env: process.env,
    signal: interrupt.signal,
    readStdin: () => text(process.stdin),
  };
}

export function outputOf(stream: NodeJS.WriteStream): CliOutput {
  return {
    get isTTY() {
      // Not set at all on a pipe.
      return stream.isTTY ?? false;
    },
    get columns() {
      return stream.columns ?? 80;
    },
    write: (data) => void stream.write(data),
  };
}
