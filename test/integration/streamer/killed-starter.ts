import { spawn } from 'node:child_process';
import path from 'node:path';
import { OwnedProcess } from '../../fixtures/owned-process.ts';

/** Lets another process start a transfer, and kills that process's group with -9; returns the transfer's id. */
export async function startAndKill(...startArguments: readonly string[]): Promise<string> {
  const program = path.join(import.meta.dirname, 'starter.ts');
  await using starter = new OwnedProcess(
    spawn(process.execPath, [program, ...startArguments], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  const id = await starter.nextLine();
  process.kill(-starter.pid, 'SIGKILL');
  await starter.exited;
  return id;
}
