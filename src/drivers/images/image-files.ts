import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import { findImageUsers } from './image-users.ts';

export interface ImageFolders {
  /** Where the disks are that stand on images. */
  readonly disks: string;
  readonly base: string;
  readonly incoming: string;
}

/** Others may pass, as QEMU's user must, and see nothing. */
const FOLDER_MODE = 0o711;
const MOST_NAMED = 3;
/** How the name of an image ends that is being removed. */
const REMOVED = '.removed';

export async function makeImageFolders({ base, incoming }: ImageFolders): Promise<void> {
  await mkdir(base, { recursive: true, mode: FOLDER_MODE });
  await mkdir(incoming, { recursive: true, mode: 0o700 });
}

/** Nobody writes to it again, and it is still there after a power cut. */
export async function giveTo(file: string, owner: FileOwner | undefined): Promise<void> {
  if (owner !== undefined) await chown(file, process.getuid?.() ?? 0, owner.gid);
  await chmod(file, owner === undefined ? 0o400 : 0o440);
  await using handle = await open(file, 'r');
  await handle.sync();
}

/** SHA-256 in hex. */
export async function digestOf(file: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await promisify(execFile)('sha256sum', ['--', file], { signal });
  // A backslash before it says that the name is escaped.
  return /^\\?([0-9a-f]{64})/.exec(stdout)?.[1] ?? '';
}

/**
 * Removes the file of an image; none is fine. Whoever makes a disk looks for its image once the disk is there; here the disks are
 * looked at once the image is away. So one of the two finds out.
 */
export async function removeUnused(
  file: string,
  digest: string,
  folders: ImageFolders,
): Promise<void> {
  const away = path.join(folders.incoming, `${path.basename(file)}${REMOVED}`);
  try {
    await makeImageFolders(folders);
    await rename(file, away);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  try {
    await refuseIfUsed(digest, folders.disks);
  } catch (error) {
    await rename(away, file);
    throw error;
  }
  await rm(away, { force: true });
}

/** Puts back what was to be removed, by somebody who was killed, while a disk was made that stands on it. */
export async function restoreUsed({ disks, base, incoming }: ImageFolders): Promise<void> {
  const users = await findImageUsers(disks);
  const names = await readdir(incoming);
  for (const name of names.filter((each) => each.endsWith(REMOVED))) {
    if (!users.has(name.slice(0, 64))) continue;
    await rename(path.join(incoming, name), path.join(base, name.slice(0, -REMOVED.length)));
  }
}

/** Fails with IMAGE_IN_USE. */
export async function refuseIfUsed(digest: string, disks: string): Promise<void> {
  const users = (await findImageUsers(disks)).get(digest) ?? [];
  if (users.length === 0) return;
  const more = users.length - MOST_NAMED;
  const named = users.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
  throw new AgentError(
    'IMAGE_IN_USE',
    `Cannot remove the image ${digest}: ${named} ${users.length === 1 ? 'stands' : 'stand'} on it; remove the VMs that have those disks, and the disks, first`,
  );
}
