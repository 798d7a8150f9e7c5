import { readdir, readFile, stat } from 'node:fs/promises';

/** Of the VMs that were asked for, as long as this process lives: it looks at one VM and ends. */
const known = new Map<string, Promise<ReadonlySet<string>>>();

/**
 * Whether the QEMU of a VM has the file open that is found under a real path, undefined if nothing is. A path says nothing of
 * that: a file that was deleted or replaced goes on as it was for whoever has it open. Undefined if nobody can tell.
 */
export async function isOpenedBy(
  vmUid: string,
  real: string | undefined,
): Promise<boolean | undefined> {
  const found = known.get(vmUid) ?? filesOf(vmUid);
  known.set(vmUid, found);
  const opened = await found;
  if (opened.size === 0) return undefined;
  return real !== undefined && opened.has(await numberOf(real));
}

/** By device and number. None if the process, or what it has open, cannot be seen. */
async function filesOf(vmUid: string): Promise<ReadonlySet<string>> {
  const files = new Set<string>();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // Processes and what they have open come and go.
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!command.includes(`\0-uuid\0${vmUid}\0`)) continue;
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
      const number = await numberOf(`/proc/${pid}/fd/${fd}`).catch(() => undefined);
      if (number !== undefined) files.add(number);
    }
  }
  return files;
}

async function numberOf(file: string): Promise<string> {
  const { dev, ino } = await stat(file, { bigint: true });
  return `${dev}/${ino}`;
}
