import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { untilAborted } from '../../core/until-aborted.ts';

/** It reads a few files. */
const MEMORY_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];
const MAX_COMPLAINT = 4096;

export interface StorageProcessOptions {
  /** The program, source or built like its starter. */
  readonly program: URL;
  readonly arguments?: readonly string[];
  readonly onLine: (line: string) => void;
  /** No more lines will come: its output has ended, or it could not be started at all. */
  readonly onEnd: (error: Error) => void;
}

/**
 * A process of the agent's that looks at files, as storage that has gone away keeps whoever looks at it. It is told and answers
 * in lines of JSON. With what it starts it is a group of its own, as that hangs with it.
 */
export class StorageProcess {
  /** Resolves once it has ended, or could not be started. */
  readonly exited: Promise<void>;
  #hasExited = false;
  readonly #child: ChildProcessWithoutNullStreams;

  constructor({ program, arguments: given = [], onLine, onEnd }: StorageProcessOptions) {
    this.#child = spawn(process.execPath, [...MEMORY_FLAGS, program.pathname, ...given], {
      stdio: 'pipe',
      detached: true,
    });
    const exited = Promise.withResolvers<void>();
    this.exited = exited.promise;
    let complaint = '';
    this.#child.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-MAX_COMPLAINT);
    });
    // One that cannot be started, or dies before it has read, has no answers.
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', (error) => {
      this.#hasExited = true;
      onEnd(error);
      exited.resolve();
    });
    this.#child.on('exit', () => {
      this.#hasExited = true;
      exited.resolve();
    });
    createInterface({ input: this.#child.stdout })
      .on('line', onLine)
      .on('close', () => {
        const { pathname } = program;
        onEnd(new Error(`The process that looks at files (${pathname}) has ended: ${complaint}`));
      });
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** It keeps nobody from ending. */
  unref(): void {
    this.#child.unref();
  }

  tell(message: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  /** There is nothing more to tell it. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** In the kernel's uninterruptible sleep it only ends with that. */
  kill(): void {
    const { pid } = this.#child;
    if (pid !== undefined && !this.#hasExited) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
    this.#child.stdin.destroy();
  }
}

/** Those that were told to end and have not yet, by what they look at: more of them would hang as well. */
export class HangingProcesses {
  readonly #most: number;
  readonly #processes = new Map<StorageProcess, string>();

  constructor(most: number) {
    this.#most = most;
  }

  add(process: StorageProcess, place: string): void {
    this.#processes.set(process, place);
    void process.exited.then(() => this.#processes.delete(process));
  }

  get areTooMany(): boolean {
    return this.#processes.size >= this.#most;
  }

  isAt(place: string): boolean {
    return [...this.#processes.values()].includes(place);
  }

  /** Returns once none is at a place, or after so long. */
  async leaves(place: string, withinMs: number): Promise<void> {
    const there = [...this.#processes].filter(([, at]) => at === place);
    if (there.length === 0) return;
    const exits = Promise.all(there.map(([process]) => process.exited));
    await untilAborted(exits, AbortSignal.timeout(withinMs)).catch(() => undefined);
  }
}
