import { open, readFile, stat } from 'node:fs/promises';

/** An image, by its real path, and how it is to be opened. */
export interface AskedImage {
  readonly path: string;
  readonly isWritten: boolean;
}

/**
 * QEMU's locks of an image (block/file-posix.c): byte 100 + n is locked by whoever uses permission n, byte 200 + n by whoever
 * does not share it with others. 0 is to read what is consistent, 1 is to write.
 */
const READS_ALONE = 200;
const WRITES = 101;
const WRITES_ALONE = 201;

/** `1: OFDLCK ADVISORY  READ -1 fe:00:1234 100 101`, in /proc/locks as in what fdinfo says of a file. */
const LOCK =
  /^\d+: (?:OFDLCK|POSIX)\s+ADVISORY\s+(?:READ|WRITE)\s+-?\d+ ([0-9a-f]+:[0-9a-f]+):(\d+) (\d+) (\d+|EOF)$/;

export interface FileLock {
  /** Of the file system, in the kernel's words, such as `fe:00`. */
  readonly device: string;
  readonly inode: string;
  readonly first: number;
  readonly last: number;
}

/** Leaves out what is waited for only, and locks of other kinds. */
export function parseLocks(text: string): readonly FileLock[] {
  return text.split('\n').flatMap((line) => {
    const [, device, inode, first, last] = LOCK.exec(line.trim()) ?? [];
    if (device === undefined || inode === undefined) return [];
    return [{ device, inode, first: Number(first), last: last === 'EOF' ? 2 ** 53 : Number(last) }];
  });
}

/** Whether QEMU could not open an image beside whoever has this lock. */
export function isInTheWay({ first, last }: FileLock, isWritten: boolean): boolean {
  // QEMU shares an image with nobody who writes, whatever it does itself.
  const bytes = isWritten ? [WRITES, WRITES_ALONE, READS_ALONE] : [WRITES, READS_ALONE];
  return bytes.some((byte) => first <= byte && byte <= last);
}

/**
 * The locks of this host that are in the way of QEMU opening an image. Takes none itself, so nobody's start can fail by being
 * looked at. What another host has locked on a network file system its kernel alone knows.
 */
export async function locksInTheWay({ path, isWritten }: AskedImage): Promise<readonly FileLock[]> {
  const text = await readFile('/proc/locks', 'utf8').catch(() => '');
  const locks = parseLocks(text).filter((lock) => isInTheWay(lock, isWritten));
  if (locks.length === 0) return [];
  const { ino } = await stat(path, { bigint: true });
  const sameNumber = locks.filter(({ inode }) => inode === String(ino));
  if (sameNumber.length === 0) return [];
  const device = await deviceOf(path);
  return sameNumber.filter((lock) => device === undefined || lock.device === device);
}

/** As the kernel calls it in its list of locks, which on btrfs is not what stat says. */
async function deviceOf(path: string): Promise<string | undefined> {
  await using file = await open(path, 'r');
  const facts = await readFile(`/proc/self/fdinfo/${file.fd}`, 'utf8');
  const mount = /^mnt_id:\s*(\d+)$/m.exec(facts)?.[1];
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const line of mounts.split('\n')) {
    const [id, , device] = line.split(' ');
    if (id !== mount || device === undefined) continue;
    return device
      .split(':')
      .map((number) => Number(number).toString(16).padStart(2, '0'))
      .join(':');
  }
  return undefined;
}
