import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const MAX_COMPLAINT = 4096;
/** What has been killed and is still there hangs in the kernel, on storage that has gone away. */
const KILLED_MS = 5_000;

export interface ChildOptions {
  /** Written to its standard input, which ends with it; undefined: it stays open until `endInput`. */
  readonly input?: string;
  readonly onOutput?: (chunk: Buffer) => void;
  /** What it writes to its standard error. */
  readonly onComplaint?: (chunk: Buffer) => void;
  /** Open with it too, as its descriptor 3. */
  readonly descriptor?: number;
}

export interface ChildEnd {
  /** Null if it was killed; 127 if it could not be run. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** What it wrote to its standard error, the end of it. */
  readonly complaint: string;
}

/** A program that is ended with whoever has it, also by -9. */
export class ChildProgram implements AsyncDisposable {
  /** Never rejects. */
  readonly ended: Promise<ChildEnd>;
  readonly #child: ChildProcess;
  #hasEnded = false;

  constructor([file = '', ...args]: readonly string[], options: ChildOptions = {}) {
    const { input, onOutput, onComplaint, descriptor } = options;
    const words = ['--pdeathsig=KILL', '--no-new-privs', '--', file, ...args];
    const child = spawn('setpriv', words, {
      cwd: '/',
      // No proxies, and nobody's settings.
      env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe', ...(descriptor === undefined ? [] : [descriptor])],
    });
    this.#child = child;
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-MAX_COMPLAINT);
      onComplaint?.(chunk);
    });
    child.stdout?.on('data', (chunk: Buffer) => onOutput?.(chunk));
    for (const stream of [child.stdin, child.stdout, child.stderr]) {
      stream?.on('error', () => undefined);
    }
    if (input !== undefined) child.stdin?.end(input);
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#hasEnded = true;
        resolve({ code, signal, complaint });
      };
      child.once('close', end);
      child.once('error', () => end(127, null));
    });
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  kill(): void {
    if (!this.#hasEnded) this.#child.kill('SIGKILL');
  }

  /** Killed, if it has not ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    if (this.#hasEnded) return;
    const over = new AbortController();
    const late = sleep(KILLED_MS, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([this.ended, late]);
    over.abort();
  }
}

/** How a program has ended. Aborted, it is killed. */
export async function untilEnd(child: ChildProgram, signal: AbortSignal): Promise<ChildEnd> {
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const end = await Promise.race([child.ended, aborted.promise]);
    if (end !== undefined) return end;
    await child[Symbol.asyncDispose]();
    throw signal.reason;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export async function runProgram(
  words: readonly string[],
  options: ChildOptions,
  signal: AbortSignal,
): Promise<ChildEnd> {
  signal.throwIfAborted();
  await using child = new ChildProgram(words, { input: '', ...options });
  return await untilEnd(child, signal);
}
