import { lstat, readlink } from 'node:fs/promises';

/** What a program that is confined can reach of the host's files, but for programs and libraries. */
export interface PlaceFiles {
  /** The only one that it can read. */
  readonly source: string;
  /** One that is there, and is written. */
  readonly target?: { readonly path: string } | undefined;
}

/** What the two files are called in there. */
export const IN = '/work/in';
export const OUT = '/work/out';

/** What of a merged /usr is a link to it, and a folder of its own where it is not merged. */
const SYSTEM_FOLDERS = ['/bin', '/lib', '/lib64'];

/** What bubblewrap is told to make, of nothing: no network, no processes, devices and rights of the host, and two of its files. */
export async function confinedPlace({ source, target }: PlaceFiles): Promise<readonly string[]> {
  const system = await Promise.all(SYSTEM_FOLDERS.map(systemFolder));
  return [
    '--unshare-all',
    '--die-with-parent',
    '--new-session',
    '--cap-drop',
    'ALL',
    '--clearenv',
    '--setenv',
    'LC_ALL',
    'C',
    '--setenv',
    'PATH',
    '/usr/bin:/usr/sbin',
    // Each thread would have one for itself.
    '--setenv',
    'MALLOC_ARENA_MAX',
    '1',
    '--ro-bind',
    '/usr',
    '/usr',
    ...system.flat(),
    '--ro-bind-try',
    '/etc/ld.so.cache',
    '/etc/ld.so.cache',
    // qemu-img tries out locks on /dev/null.
    '--dev',
    '/dev',
    '--ro-bind',
    source,
    IN,
    ...(target === undefined ? [] : ['--bind', target.path, OUT]),
    '--remount-ro',
    '/',
    '--chdir',
    '/',
  ];
}

async function systemFolder(folder: string): Promise<readonly string[]> {
  const found = await lstat(folder).catch(() => undefined);
  if (found?.isSymbolicLink() === true) return ['--symlink', await readlink(folder), folder];
  return found === undefined ? [] : ['--ro-bind', folder, folder];
}
