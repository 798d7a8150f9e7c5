import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isGone } from './errors.ts';

/** A process, and no later one that happens to get the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks between the boot and the start of the process. */
  readonly startTicks: number;
  /** A pid of an earlier boot says nothing. */
  readonly bootId: string;
}

const POLL_MS = 10;

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Whether exactly this process runs; a zombie does not. */
export async function isAlive(process: ProcessIdentity): Promise<boolean> {
  return (
    (await readStartTicks(process.pid)) === process.startTicks &&
    (await readBootId()) === process.bootId
  );
}

/** Sends a signal to exactly this process; false if it is gone. */
export async function kill(
  target: ProcessIdentity,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<boolean> {
  if (!(await isAlive(target))) return false;
  try {
    return process.kill(target.pid, signal);
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** Waits until the process is gone; false if it is still there after `timeoutMs`. */
export async function waitUntilGone(target: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (await isAlive(target)) {
    if (performance.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}

export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const startTicks = await readStartTicks(pid);
  return startTicks === undefined ? undefined : { pid, startTicks, bootId: await readBootId() };
}

/** The process that was started with these two arguments in a row. Reads all of /proc, so it is for rare cases. */
export async function findByArguments(
  option: string,
  value: string,
): Promise<ProcessIdentity | undefined> {
  const wanted = `\0${option}\0${value}\0`;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const commandLine = await readProcess(name, 'cmdline');
    if (commandLine?.endsWith(wanted)) return identify(Number(name));
  }
  return undefined;
}

async function readStartTicks(pid: number): Promise<number | undefined> {
  const stat = await readProcess(String(pid), 'stat');
  // The second field, the name in parentheses, may itself have spaces and parentheses.
  const [state, ...rest] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  const threads = Number(rest[16]);
  // The first thread of a process is a zombie already while others still end.
  if (state === undefined || (/[ZX]/.test(state) && threads <= 1)) return undefined;
  return Number(rest[18]);
}

async function readProcess(pid: string, file: string): Promise<string | undefined> {
  try {
    return await readFile(`/proc/${pid}/${file}`, 'utf8');
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}
