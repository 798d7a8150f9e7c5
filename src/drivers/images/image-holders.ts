import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { delay } from '../../core/delay.ts';
import type { ImageHolder } from '../images.ts';
import { type AskedImage, isInTheWay, locksInTheWay, parseLocks } from './file-locks.ts';

const LOOKS = 4;
const LOOK_AGAIN_MS = 250;

/** Somebody has it, and none of the processes that this one can see. */
const UNSEEN: ImageHolder = { pid: undefined, program: '', vmUid: undefined, vmName: '' };

/** Who has images open in a way in which QEMU could not open them too. Changes nothing, and waits for nobody's lock. */
export async function findHolders(
  images: readonly AskedImage[],
  signal: AbortSignal,
): Promise<readonly ImageHolder[]> {
  const found = await Promise.all(images.map((image) => holdersOf(image, signal)));
  const holders = new Map(found.flat().map((holder) => [holder.pid, holder]));
  return [...holders.values()];
}

async function holdersOf(image: AskedImage, signal: AbortSignal): Promise<readonly ImageHolder[]> {
  for (let looks = 1; ; looks += 1) {
    const locks = await locksInTheWay(image);
    if (locks.length === 0) return [];
    const holders = await lookForHolders(image, locks, signal);
    // One that ends meanwhile is found by nobody, or has no name any more.
    const isSure = holders.length > 0 && holders.every(({ program }) => program !== '');
    if (isSure) return holders;
    if (looks === LOOKS) return holders.length === 0 ? [UNSEEN] : holders;
    await delay(LOOK_AGAIN_MS, signal);
  }
}

async function lookForHolders(
  image: AskedImage,
  locks: Awaited<ReturnType<typeof locksInTheWay>>,
  signal: AbortSignal,
): Promise<readonly ImageHolder[]> {
  const isOneOf = ({ device, inode }: { readonly device: string; readonly inode: string }) =>
    locks.some((lock) => lock.device === device && lock.inode === inode);
  return await findProcesses(signal, async (pid, fd) => {
    const facts = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const own = parseLocks(facts.replaceAll(/^lock:\s*/gm, ''));
    return own.some((lock) => isOneOf(lock) && isInTheWay(lock, image.isWritten));
  });
}

/**
 * QEMUs that have a block device open. libvirt gives each a node of its own to it, so that their locks, which are those of
 * the node, do not meet.
 */
export async function findDeviceHolders(
  { path, isWritten }: AskedImage,
  signal: AbortSignal,
): Promise<readonly ImageHolder[]> {
  const { rdev } = await stat(path);
  const holders = await findProcesses(signal, async (pid, fd) => {
    const file = `/proc/${pid}/fd/${fd}`;
    if (!(await readlink(file)).startsWith('/dev/') || (await stat(file)).rdev !== rdev)
      return false;
    const facts = await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8');
    const flags = Number.parseInt(/^flags:\s*(\d+)$/m.exec(facts)?.[1] ?? '0', 8);
    return isWritten || (flags & ACCESS_MODE) !== 0;
  });
  return holders.filter(({ vmUid, program }) => vmUid !== undefined || program.startsWith('qemu'));
}

/** Whether a file is open for reading alone: the last two bits of its flags are 0 then. */
const ACCESS_MODE = 3;

async function findProcesses(
  signal: AbortSignal,
  hasIt: (pid: string, fd: string) => Promise<boolean>,
): Promise<readonly ImageHolder[]> {
  const holders: ImageHolder[] = [];
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    signal.throwIfAborted();
    // Processes and what they have open come and go.
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const answers = await Promise.all(fds.map((fd) => hasIt(pid, fd).catch(() => false)));
    if (answers.includes(true)) holders.push(await describe(pid));
  }
  return holders;
}

async function describe(pid: string): Promise<ImageHolder> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const words = text.split('\0');
  const after = (option: string) => words[words.indexOf(option) + 1 || words.length];
  const vmName = /(?:^|,)guest=([^,]*)/.exec(after('-name') ?? '')?.[1] ?? '';
  return { pid: Number(pid), program: basename(words[0] ?? ''), vmUid: after('-uuid'), vmName };
}
