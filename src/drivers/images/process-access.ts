import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { FileOwner } from '../hypervisor-host.ts';
import type { ImageProblem } from '../images.ts';

export interface ProcessAccessOptions {
  /** libvirt's settings for QEMU. */
  readonly qemuConf?: string | undefined;
}

/** Exit code of the script; no shell and no setpriv has it. */
const CLOSED = 77;
/** Tells by asking the kernel: of access lists and of the groups of a user the bits of a mode say nothing. */
const SCRIPT = `
for folder; do
  shift
  [ "$folder" = -- ] && break
  [ -x "$folder" ] || { printf %s "$folder"; exit ${CLOSED}; }
done
for file; do
  mode=-\${file%%/*}
  file=/\${file#*/}
  [ $mode "$file" ] || { printf %s "$file"; exit ${CLOSED}; }
done`;

export interface AccessQuery {
  /** Real paths, an image first and then what is behind it. */
  readonly files: readonly string[];
  /** Whether the first of them is written to. */
  readonly isWritten: boolean;
  readonly user: FileOwner;
}

/**
 * Whether the process of a VM can get at files. libvirt makes the files its own, but not the folders that
 * lead to them, and says so only when QEMU is to be started. Undefined if it can, or nobody can tell.
 */
export async function findAccessProblem(
  { files, isWritten, user }: AccessQuery,
  signal: AbortSignal,
  { qemuConf = '/etc/libvirt/qemu.conf' }: ProcessAccessOptions = {},
): Promise<ImageProblem | undefined> {
  if (user.uid === 0) return undefined;
  const folders = [...new Set(files.flatMap(foldersTo))];
  const asIs = (await keepsOwners(qemuConf))
    ? files.map((file, index) => `${isWritten && index === 0 ? 'w' : 'r'}${file}`)
    : [];
  const closed = await findClosed([...folders, '--', ...asIs], user, signal);
  if (closed === undefined) return undefined;
  const name = await nameOf(user.uid);
  const text = folders.includes(closed)
    ? `QEMU, which runs as user ${name} on this node, cannot reach it: ${closed} is closed to that user; move it to a folder that is open, such as /var/lib/libvirt/images, or open that one: setfacl -m u:${name}:x ${closed}`
    : `QEMU, which runs as user ${name} on this node, cannot open it, and libvirt's dynamic_ownership is off, so that libvirt does not make the file its own; open it: setfacl -m u:${name}:rw ${closed}`;
  return { reason: 'IMAGE_NOT_READABLE', text };
}

async function nameOf(uid: number): Promise<string> {
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const line of users.split('\n')) {
    const [name = '', , number] = line.split(':');
    if (number === String(uid)) return name;
  }
  return String(uid);
}

/** From the root down. */
function foldersTo(file: string): readonly string[] {
  const parts = path
    .dirname(file)
    .split('/')
    .filter((part) => part !== '');
  return ['/', ...parts.map((_part, index) => `/${parts.slice(0, index + 1).join('/')}`)];
}

async function keepsOwners(qemuConf: string): Promise<boolean> {
  const text = await readFile(qemuConf, 'utf8').catch(() => '');
  return /^\s*dynamic_ownership\s*=\s*0/m.test(text);
}

/** The first that the user may not enter or read; undefined if there is none, or it cannot be found out. */
async function findClosed(
  words: readonly string[],
  { uid, gid }: FileOwner,
  signal: AbortSignal,
): Promise<string | undefined> {
  // In a container the user may have no name, and then no known groups.
  for (const groups of ['--init-groups', '--clear-groups']) {
    const as = [`--reuid=${uid}`, `--regid=${gid}`, groups];
    try {
      await promisify(execFile)('setpriv', [...as, '/bin/sh', '-c', SCRIPT, 'sh', ...words], {
        signal,
      });
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      const { code, stdout } = error as { readonly code?: unknown; readonly stdout?: string };
      if (code === CLOSED) return stdout;
    }
  }
  return undefined;
}
