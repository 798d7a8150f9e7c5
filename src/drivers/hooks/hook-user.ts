import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { HookUser } from './hook-program.ts';

const run = promisify(execFile);
const TIMEOUT_MS = 5_000;

/** A user of the node by its name, or why no hook is run as that one. A user of root's id or group is none. */
export async function findHookUser(
  name: string,
  signal: AbortSignal,
): Promise<HookUser | { readonly problem: string }> {
  // The libraries of the system know users that are in no file of it.
  const asked = run('getent', ['passwd', name], { signal, timeout: TIMEOUT_MS });
  const entry = await asked.then(
    ({ stdout }) => stdout.split('\n')[0] ?? '',
    () => '',
  );
  signal.throwIfAborted();
  const [, , uidText = '', gidText = ''] = entry.split(':');
  const [uid, gid] = [Number.parseInt(uidText, 10), Number.parseInt(gidText, 10)];
  if (Number.isNaN(uid) || Number.isNaN(gid)) {
    return {
      problem: `there is no user ${name} on this node, as whom hooks run (lifecycle.hookUser of its configuration); make that user or name another`,
    };
  }
  if (uid === 0 || gid === 0) {
    return {
      problem: `hooks would run as ${name}, who is root or in root's group (lifecycle.hookUser of the node's configuration); name a user without privileges, such as nobody`,
    };
  }
  return { name, uid, gid };
}
