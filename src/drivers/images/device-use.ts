import { constants } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { formatDeviceNumber } from './device-number.ts';

/** Linux looks for volume groups and the like on every disk that it sees. */
const IF_THE_GUESTS =
  '; if that is what its guest has put there, release it (vgchange -an, mdadm --stop) and keep this node from looking at it, by devices/global_filter in lvm.conf';

/** Whoever asks the same at the same time claims it too, for less than a moment. */
const CLAIMS = 8;
const BETWEEN_CLAIMS_MS = 50;

export interface DeviceUseOptions {
  readonly proc?: string;
  readonly sys?: string;
}

/**
 * What the host uses a block device for, or a partition of it, so that a guest that writes to it would destroy that; undefined if
 * nothing is known. `device` is a real path.
 */
export async function findDeviceUse(
  device: string,
  { proc = '/proc', sys = '/sys' }: DeviceUseOptions = {},
): Promise<string | undefined> {
  const id = await idOf(device);
  if (id === undefined) return undefined;
  const ids = [id, ...(await partitionsOf(id, sys))];
  const mounts = await mountsOf(ids, proc);
  if (mounts.length > 0) return `it is mounted at ${mounts.join(', ')}`;
  if (await isSwap(ids, proc)) return 'it is used for swap';
  for (const each of ids) {
    const holders = await namesIn(path.join(sys, 'dev/block', each, 'holders'));
    if (holders.length > 0)
      return `it is held by ${holders.join(', ')} (LVM, RAID, encryption)${IF_THE_GUESTS}`;
  }
  return (await isClaimed(device)) ? 'the kernel or another program has it for itself' : undefined;
}

/** MAJOR:MINOR of what a path leads to; undefined if that is no block device. */
async function idOf(file: string): Promise<string | undefined> {
  try {
    const found = await stat(file, { bigint: true });
    return found.isBlockDevice() ? formatDeviceNumber(found.rdev) : undefined;
  } catch {
    return undefined;
  }
}

async function partitionsOf(id: string, sys: string): Promise<readonly string[]> {
  const folder = path.join(sys, 'dev/block', id);
  const found: string[] = [];
  for (const name of await namesIn(folder)) {
    if ((await textOf(path.join(folder, name, 'partition'))) === '') continue;
    found.push((await textOf(path.join(folder, name, 'dev'))).trim());
  }
  return found;
}

/**
 * Of the whole host where it can be seen, as by an agent in a container. A file system on several devices has a number of its
 * own, so its source counts too.
 */
async function mountsOf(ids: readonly string[], proc: string): Promise<readonly string[]> {
  const texts = await Promise.all([
    textOf(path.join(proc, '1/mountinfo')),
    textOf(path.join(proc, 'self/mountinfo')),
  ]);
  const found = new Set<string>();
  for (const line of texts.join('\n').split('\n')) {
    // 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
    const fields = line.split(' ');
    const source = fields[fields.indexOf('-') + 2] ?? '';
    const isOurs =
      ids.includes(fields[2] ?? '') ||
      (source.startsWith('/dev/') && ids.includes((await idOf(source)) ?? ''));
    if (isOurs) found.add(fields[4] ?? '');
  }
  return [...found];
}

async function isSwap(ids: readonly string[], proc: string): Promise<boolean> {
  const lines = (await textOf(path.join(proc, 'swaps'))).split('\n').slice(1);
  for (const line of lines) {
    const [file = ''] = line.split(/\s/);
    if (file !== '' && ids.includes((await idOf(file)) ?? '')) return true;
  }
  return false;
}

/** Whoever mounts a device, or makes it part of another, claims it; QEMU does not. Covers what sysfs does not show, such as ZFS. */
async function isClaimed(device: string, claims = CLAIMS): Promise<boolean> {
  try {
    const { O_RDONLY, O_EXCL, O_NONBLOCK } = constants;
    await using _claim = await open(device, O_RDONLY | O_EXCL | O_NONBLOCK);
    return false;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EBUSY')) return false;
    if (claims <= 1) return true;
    // Not all of them again at the same time.
    await delay(Math.random() * BETWEEN_CLAIMS_MS);
    return await isClaimed(device, claims - 1);
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => []);
}

async function textOf(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch(() => '');
}
