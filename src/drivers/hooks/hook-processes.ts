import { readdir, readFile, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the environment of all that a hook starts has, whatever session or process group it has moved to. */
export interface HookMark {
  readonly nodeName: string;
  readonly vmUids: readonly string[];
}

/** The kernel takes a moment to end a process; one that hangs in it cannot be waited for. */
const ROUNDS = 50;
const ROUND_MS = 20;

/** Ends all processes of a user that bear the mark, and waits until they are gone. What hangs in the kernel is left after a second. */
export async function endMarked(uid: number, mark: HookMark): Promise<void> {
  let wasFound = true;
  for (let round = 0; round < ROUNDS; round++) {
    const found = await findMarked(uid, mark);
    // One that was just becoming another program had no environment for that moment.
    if (found.length === 0 && !wasFound) return;
    wasFound = found.length > 0;
    for (const pid of found) kill(pid, 'SIGKILL');
    await sleep(ROUND_MS);
  }
}

async function findMarked(uid: number, mark: HookMark): Promise<readonly number[]> {
  const names = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const marked = await Promise.all(
    names.map(async (name) => ((await bears(name, uid, mark)) ? Number(name) : undefined)),
  );
  return marked.filter((pid) => pid !== undefined);
}

async function bears(pid: string, uid: number, { nodeName, vmUids }: HookMark): Promise<boolean> {
  try {
    // One that may not be read as its program is shown as root's.
    if (![uid, 0].includes((await stat(`/proc/${pid}`)).uid)) return false;
    const variables = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0');
    return (
      variables.some((variable) => variable.startsWith('NOVACRON_HOOK=')) &&
      variables.includes(`NOVACRON_NODE=${nodeName}`) &&
      vmUids.some((vmUid) => variables.includes(`NOVACRON_VM_UID=${vmUid}`))
    );
  } catch {
    // It has ended meanwhile; a zombie has no environment any more.
    return false;
  }
}

/** Signals a process, or with a negative number a process group; nothing being left is fine. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
