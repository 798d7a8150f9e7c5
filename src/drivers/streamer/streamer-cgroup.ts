import { mkdir, readFile, readlink, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isMissing } from './errors.ts';

// PROC_CGROUP_INIT_INO of the kernel's proc_ns.h: the namespace in which the host's own cgroups are seen.
const HOST_CGROUP_NAMESPACE = 'cgroup:[4026531835]';
const PARENT = 'novacron-transfers';
const REMOVE_ATTEMPTS = 10;
const REMOVE_PAUSE_MS = 10;

/**
 * Moves a process into a cgroup of its own at the host's root, so that stopping the agent's unit or pod, which
 * kills what is in its cgroup, does not kill the process. Returns why that is not possible; empty if it is.
 */
export async function leaveAgentCgroup(pid: number, name: string): Promise<string> {
  try {
    if ((await readlink('/proc/self/ns/cgroup')) !== HOST_CGROUP_NAMESPACE) {
      return 'the agent is in a cgroup namespace of its own';
    }
    const mount = await findCgroupMount();
    if (mount === undefined) return 'no cgroup v2 is mounted';
    const directory = path.join(mount, PARENT, name);
    // Not recursive: where the kernel answers ENOENT in a folder that is there (a cgroup mount hidden under
    // another sysfs, as in a container), Node's recursive mkdir tries for ever.
    await makeDirectory(path.dirname(directory));
    await makeDirectory(directory);
    await writeFile(path.join(directory, 'cgroup.procs'), String(pid));
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function makeDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Removes the cgroup of a process that is gone; what cannot be removed stays and does no harm. */
export async function removeCgroup(name: string): Promise<void> {
  const mount = await findCgroupMount();
  if (mount === undefined) return;
  const directory = path.join(mount, PARENT, name);
  // The kernel takes a moment to see that the cgroup is empty.
  for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt++) {
    if (await tryToRemove(directory)) break;
    await sleep(REMOVE_PAUSE_MS);
  }
  await tryToRemove(path.join(mount, PARENT));
}

async function tryToRemove(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    return isMissing(error);
  }
}

async function findCgroupMount(): Promise<string | undefined> {
  // "36 35 98:0 /root /mount options optional… - type source superoptions", see proc_pid_mountinfo(5).
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ');
    const [, , , root, point] = mount.split(' ');
    if (filesystem.startsWith('cgroup2 ') && root === '/') return point;
  }
  return undefined;
}
