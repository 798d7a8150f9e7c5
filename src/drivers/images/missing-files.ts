import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Ends each name with a zero byte: a path may hold anything else. */
const SCRIPT = `for file; do [ -e "$file" ] || printf '%s\\0' "$file"; done`;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

/** Looks for files in a process of its own: on storage that hangs it stays for ever, and no thread of the agent with it. */
export async function listMissing(
  paths: readonly string[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  signal.throwIfAborted();
  if (paths.length === 0) return [];
  const options = { signal, maxBuffer: MAX_OUTPUT_BYTES };
  const run = promisify(execFile);
  const { stdout } = await run('/bin/sh', ['-c', SCRIPT, 'sh', ...paths], options);
  return stdout.split('\0').filter((path) => path !== '');
}
