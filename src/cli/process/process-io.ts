import { writeSync } from 'node:fs';
import os from 'node:os';
import { text } from 'node:stream/consumers';
import { getSystemErrorMessage } from 'node:util';
import type { CliIo, CliOutput, OutputFault } from './cli-io.ts';
import { Interrupted } from './exit-codes.ts';
import { openKeyboard } from './keyboard.ts';
import { readBytes, readUnseen } from './stdin.ts';

/** Between two looks at a terminal or pipe that takes nothing just now. */
const RETRY_MS = 10;

/** The process's own. A second Ctrl-C ends it at once. */
export function processIo(): CliIo {
  const interrupt = new AbortController();
  let hasLentTerminal = false;
  const onInterrupt = () => {
    // It is that program's, which gets it as well.
    if (hasLentTerminal) return;
    process.off('SIGINT', onInterrupt);
    interrupt.abort(new Interrupted('Interrupted'));
  };
  process.on('SIGINT', onInterrupt);
  process.once('SIGTERM', () => interrupt.abort(new Interrupted('Terminated')));
  return {
    stdout: processOutput(process.stdout),
    stderr: processOutput(process.stderr),
    env: process.env,
    signal: interrupt.signal,
    get isInteractive() {
      // Node opens it only when it is first looked at.
      return process.stdin.isTTY ?? false;
    },
    readStdin: () => text(process.stdin),
    openKeyboard: () => openKeyboard(interrupt),
    readStdinBytes: (maxBytes) => readBytes(process.stdin, maxBytes),
    async readSecret(prompt) {
      if (!process.stdin.isTTY) return (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? '';
      process.stderr.write(prompt);
      try {
        return await readUnseen(process.stdin, interrupt.signal);
      } finally {
        process.stderr.write('\n');
      }
    },
    async runOnTerminal(program, args) {
      hasLentTerminal = true;
      try {
        return await runAttached(program, args, interrupt.signal);
      } finally {
        hasLentTerminal = false;
      }
    },
  };
}

/** The exit code of a program that has our terminal; one that was killed by a signal has that of a shell. */
async function runAttached(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  // Few commands have a use for it.
  const { spawn } = await import('node:child_process');
  const ended = Promise.withResolvers<number>();
  const child = spawn(program, args, { stdio: 'inherit' });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  child.once('error', ended.reject);
  child.once('exit', (code, signal) => {
    ended.resolve(code ?? 128 + os.constants.signals[signal ?? 'SIGTERM']);
  });
  try {
    return await ended.promise;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Standard output or standard error of the process. Each text is written at once and as a whole; Node's own streams leave
 * out the rest of one that a file has room for in part only, and say nothing.
 */
export function processOutput(stream: NodeJS.WriteStream & { readonly fd: 1 | 2 }): CliOutput {
  let fault: OutputFault | undefined;
  return {
    get isTTY() {
      // Not set at all on a pipe.
      return stream.isTTY ?? false;
    },
    get columns() {
      return stream.columns ?? 80;
    },
    get fault() {
      return fault;
    },
    write(data) {
      if (fault === undefined) fault = writeAll(stream.fd, Buffer.from(data));
    },
  };
}

function writeAll(fd: number, bytes: Uint8Array): OutputFault | undefined {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(fd, bytes, written);
    } catch (error) {
      const { code, errno = 0 } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') return 'closed';
      if (code !== 'EAGAIN') return { message: getSystemErrorMessage(errno) };
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
  return undefined;
}
