import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { HookOutput } from './hook-output.ts';
import { endMarked, type HookMark, kill } from './hook-processes.ts';
import type { HookUser } from './hook-program.ts';

/** From being asked to end to being made to. */
const GRACE_MS = 5_000;
/** After that; only what hangs in the kernel takes as long. */
const KILLED_MS = 5_000;
/** What was written before the end is read by then. */
const DRAIN_MS = 1_000;
/** No more than 4 MB/s of what it writes are read, so that one that floods costs the agent little. */
const READ_BYTES = 64 * 1024;
const READ_PAUSE_MS = 16;

export interface HookStart {
  readonly file: string;
  readonly args: readonly string[];
  readonly user: HookUser;
  readonly environment: Readonly<Record<string, string>>;
  readonly mark: HookMark;
}

/** How a process has ended; neither if it could not be made to. */
interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: Error;
  readonly wasStopped?: boolean;
}

/** A hook that runs, in a session of its own, and all that it starts. */
export class HookProcess {
  readonly output = new HookOutput();
  readonly #start: HookStart;
  readonly #child: ChildProcess;
  readonly #exit: Promise<Exit>;
  readonly #closed: Promise<void>;

  constructor(start: HookStart) {
    this.#start = start;
    const { file, args, user, environment } = start;
    const privileges = [
      `--reuid=${user.uid}`,
      `--regid=${user.gid}`,
      '--clear-groups',
      '--inh-caps=-all',
      '--ambient-caps=-all',
      '--bounding-set=-all',
      '--no-new-privs',
      // Should the agent be killed, so is the hook.
      '--pdeathsig=KILL',
    ];
    this.#child = spawn('setpriv', [...privileges, '--', file, ...args], {
      cwd: '/',
      env: { ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.#exit = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
      this.#child.once('error', (error) => resolve({ code: null, signal: null, error }));
    });
    this.#closed = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
    });
    if (this.#child.pid !== undefined) beOrdinary(this.#child.pid);
    for (const stream of [this.#child.stdout, this.#child.stderr]) this.#read(stream);
  }

  /**
   * How it has failed, in words; undefined if it has not. Once `stop` is aborted it is ended, which is a failure as well:
   * `whenStopped` says how.
   */
  async end(stop: AbortSignal, whenStopped: string): Promise<string | undefined> {
    const exit = await this.#untilEnd(stop);
    await this.#endRest();
    if (exit === undefined) return 'could not be ended: it hangs in the kernel';
    if (exit.wasStopped === true) return whenStopped;
    if (exit.error !== undefined) return `could not be run: ${exit.error.message}`;
    if (exit.signal !== null) return `was ended by ${exit.signal}`;
    return exit.code === 0 ? undefined : `ended with exit code ${exit.code}`;
  }

  async #untilEnd(stop: AbortSignal): Promise<Exit | undefined> {
    const stopping = Promise.withResolvers<undefined>();
    const onStop = (): void => stopping.resolve(undefined);
    stop.addEventListener('abort', onStop, { once: true });
    if (stop.aborted) onStop();
    try {
      const exit = await Promise.race([this.#exit, stopping.promise]);
      if (exit !== undefined) return exit;
      this.#signal('SIGTERM');
      const heeded = await within(this.#exit, GRACE_MS);
      if (heeded === undefined) this.#signal('SIGKILL');
      const end = heeded ?? (await within(this.#exit, KILLED_MS));
      return end && { ...end, wasStopped: true };
    } finally {
      stop.removeEventListener('abort', onStop);
    }
  }

  /** What it has started ends with it: whatever is in its process group, and whatever has left that. */
  async #endRest(): Promise<void> {
    this.#signal('SIGKILL');
    await endMarked(this.#start.user.uid, this.#start.mark);
    await within(this.#closed, DRAIN_MS);
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }

  #signal(name: NodeJS.Signals): void {
    if (this.#child.pid !== undefined) kill(-this.#child.pid, name);
  }

  #read(stream: Readable | null): void {
    let sincePause = 0;
    stream?.on('data', (chunk: Buffer) => {
      this.output.add(chunk);
      sincePause += chunk.length;
      if (sincePause < READ_BYTES) return;
      sincePause = 0;
      stream.pause();
      setTimeout(() => stream.resume(), READ_PAUSE_MS);
    });
    stream?.on('error', () => undefined);
  }
}

/** The agent is the last to be killed where memory is short, which is no reason to spare what it runs for others. */
function beOrdinary(pid: number): void {
  try {
    // At once, while it is still on its way to the program.
    writeFileSync(`/proc/${pid}/oom_score_adj`, '0');
  } catch {
    // It has ended already.
  }
}

/** Undefined once the time is over. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  const over = new AbortController();
  const late = sleep(ms, undefined, { signal: over.signal }).catch(() => undefined);
  const first = await Promise.race([promise, late]);
  over.abort();
  return first;
}
