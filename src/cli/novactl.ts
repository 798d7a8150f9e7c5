import { processIo } from './process/process-io.ts';
import { runCli } from './program.ts';

const HANG_MS = 500;

export async function start(): Promise<void> {
  const exitCode = await runCli(process.argv.slice(2), processIo());
  process.exitCode = exitCode;
  // Once nothing is left to wait for: at once, and not after Node has taken apart all that the system takes back anyway.
  process.once('exit', () => process.exit());
  // doctor may have met a file system that hangs. A thread that waits for one keeps the process alive, even after
  // process.exit(); only becoming another program ends it. Does nothing where all is done.
  setTimeout(() => process.execve?.('/bin/sh', ['sh', '-c', `exit ${exitCode}`]), HANG_MS).unref();
}
