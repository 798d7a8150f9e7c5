import { spawn } from 'node:child_process';
import { LabError } from './project.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
}

export interface CommandResult {
  /** Exit code; a program killed by a signal counts as 128. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end and gives back what it wrote, whatever its exit code. Aborting kills it. */
export async function tryRun(
  command: readonly string[],
  options: RunOptions,
  signal: AbortSignal,
): Promise<CommandResult> {
  signal.throwIfAborted();
  const [program = '', ...rest] = command;
  const child = spawn(program, rest, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
  // A program that does not read its input may close it first.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', (error) => {
      reject(
        signal.aborted
          ? (signal.reason as Error)
          : new LabError(`Cannot run ${program}: ${error.message}`),
      );
    });
    child.on('close', (status) => {
      resolve(status ?? 128);
    });
  });
  signal.throwIfAborted();
  return {
    code,
    stdout: Buffer.concat(stdout).toString(),
    stderr: Buffer.concat(stderr).toString(),
  };
}

/** Like tryRun, but an exit code other than 0 is an error that carries what the program said. */
export async function run(
  command: readonly string[],
  options: RunOptions,
  signal: AbortSignal,
): Promise<string> {
  const result = await tryRun(command, options, signal);
  if (result.code === 0) return result.stdout;
  const said = `${result.stderr}${result.stdout}`.trim();
  throw new LabError(`${command.join(' ')} failed with ${result.code}:\n${said}`);
}

export interface AttachedOptions extends Omit<RunOptions, 'input'> {
  /** Is told the program's pid as soon as it runs. */
  readonly onStarted?: (pid: number) => void;
}

/** Runs a program on this terminal and gives its exit code. Aborting asks it to end. */
export async function runAttached(
  command: readonly string[],
  options: AttachedOptions,
  signal: AbortSignal,
): Promise<number> {
  const [program = '', ...rest] = command;
  const child = spawn(program, rest, { cwd: options.cwd, env: options.env, stdio: 'inherit' });
  if (child.pid !== undefined) options.onStarted?.(child.pid);
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (error) => {
        reject(new LabError(`Cannot run ${program}: ${error.message}`));
      });
      child.on('close', (status) => {
        resolve(status ?? 128);
      });
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
