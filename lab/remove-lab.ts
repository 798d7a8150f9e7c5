import { existsSync } from 'node:fs';
import { readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { LabError } from './core/project.ts';
import { waitUntil } from './core/wait-until.ts';
import { LABS_DIRECTORY, planLab } from './plan/lab-plan.ts';
import { findLabProcesses, type LabProcess } from './plan/lab-processes.ts';
import { findLabRecord } from './plan/lab-record.ts';

const END_TIMEOUT_MS = 10_000;

/**
 * Ends every process of a lab and removes its files; namespaces, mounts and the cable go with the processes.
 * Needs no record of what was made, so it also clears up after a crash at any line. Removing again changes nothing.
 */
export async function removeLab(name: string): Promise<void> {
  // Ending the first process of a PID namespace ends all others in it.
  kill(findLabProcesses(name).filter((process) => process.pidInNode === 1));
  await waitUntil(
    `The end of all processes of lab ${name}`,
    END_TIMEOUT_MS,
    () => {
      const left = findLabProcesses(name);
      kill(left);
      return left.length === 0;
    },
    new AbortController().signal,
  );
  // A lab may have been made from another checkout.
  const storage = (await findLabRecord(name))?.storage ?? planLab(name, []).storage;
  await rm(storage, { recursive: true, force: true });
  await removeIfEmpty(path.dirname(storage));
  await rm(path.join(LABS_DIRECTORY, name), { recursive: true, force: true });
  await removeIfEmpty(LABS_DIRECTORY);
}

/** Names of all labs on this machine, whole or not. */
export async function listLabs(): Promise<string[]> {
  try {
    return await readdir(LABS_DIRECTORY);
  } catch (error) {
    // The last lab takes the folder with it.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Removes the labs that a process has made and can no longer remove, because it was killed. */
export async function removeLabsOf(ownerPid: number): Promise<void> {
  for (const name of await listLabs()) {
    if ((await findLabRecord(name))?.ownerPid === ownerPid) await removeLab(name);
  }
}

/** What is left of a lab, in words; empty when there is nothing. */
export function findLeftovers(name: string): string[] {
  const plan = planLab(name, []);
  return [
    ...findLabProcesses(name).map(
      (process) => `process ${process.pid}: ${process.command.join(' ')}`,
    ),
    ...[plan.directory, plan.storage].filter((folder) => existsSync(folder)),
  ];
}

function kill(processes: readonly LabProcess[]): void {
  for (const { pid } of processes) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOENT') return;
    throw new LabError(`Cannot remove ${folder}: ${code ?? String(error)}`);
  }
}
