import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';

/** Lets another process start a transfer, and kills that process's group with -9; returns the transfer's id. */
export async function startAndKill(...startArguments: readonly string[]): Promise<string> {
  const starter = spawn(
    process.execPath,
    [path.join(import.meta.dirname, 'starter.ts'), ...startArguments],
    { detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = once(starter, 'exit');
  const said = once(createInterface(starter.stdout), 'line') as Promise<[string]>;
  const [id] = await Promise.race([said, exited]);
  assert.ok(starter.pid && typeof id === 'string', 'the starter has failed');
  process.kill(-starter.pid, 'SIGKILL');
  await exited;
  return id;
}
