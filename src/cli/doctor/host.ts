import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, open, readdir, readFile, stat, statfs } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { folderProblem, nearestThere } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';

interface FileInfo {
  readonly kind: 'file' | 'directory' | 'socket' | 'device' | 'other';
  /** Permission bits. */
  readonly mode: number;
  readonly ownerId: number;
}

export interface FoundFile {
  readonly name: string;
  /** What it takes on the disk. */
  readonly diskBytes: number;
  /** In milliseconds since 1970. */
  readonly modifiedMs: number;
}

interface CommandResult {
  readonly code: number;
  readonly stdout: string;
}

/** What the checks read of a machine. Errors of the system are passed on with their `code`. */
export interface Host {
  /** Undefined if there is no such file. */
  findText(path: string): Promise<string | undefined>;
  /** Undefined if there is no such file. */
  findInfo(path: string): Promise<FileInfo | undefined>;
  /** The plain files in a folder; undefined if there is no such folder. */
  listFiles(path: string): Promise<readonly FoundFile[] | undefined>;
  /** Whether no other host can write in a folder. */
  isLocal(path: string): Promise<boolean>;
  openReadWrite(path: string): Promise<void>;
  isExecutable(path: string): Promise<boolean>;
  /** Of where a folder is or will be. */
  space(path: string): Promise<{ readonly freeBytes: number; readonly freeInodes: number }>;
  connectUnix(path: string, signal: AbortSignal): Promise<void>;
  /** Undefined if there is no such program, or none for this user. */
  run(
    program: string,
    words: readonly string[],
    signal: AbortSignal,
  ): Promise<CommandResult | undefined>;
  userId(): number;
  /** Why nothing can be written in a folder, or made where it is to be, and the way on; undefined if it can. */
  folderProblem(path: string): Promise<string | undefined>;
  /** The addresses of its interfaces. */
  localAddresses(): readonly string[];
  listProcesses(): Promise<readonly Process[]>;
}

interface Process {
  readonly pid: number;
  readonly ownerId: number;
  readonly words: readonly string[];
  readonly cgroup: string;
}

export const thisHost: Host = {
  findText: (path) => orUndefined(readFile(path, 'utf8')),
  findInfo: async (path) => {
    const found = await orUndefined(stat(path));
    if (found === undefined) return undefined;
    return { kind: kindOf(found), mode: found.mode & 0o7777, ownerId: found.uid };
  },
  listFiles: async (path) => {
    const entries = await orUndefined(readdir(path, { withFileTypes: true }));
    const files = (entries ?? []).filter((entry) => entry.isFile());
    const found = await Promise.all(files.map(({ name }) => findFile(path, name)));
    return entries && found.filter((each) => each !== undefined);
  },
  isLocal: async (path) => isLocalFileSystem((await statfs(nearestThere(path))).type),
  openReadWrite: async (path) => {
    const file = await open(path, 'r+');
    await file.close();
  },
  isExecutable: async (path) => {
    try {
      await access(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  },
  space: async (path) => {
    const { bavail, bsize, ffree, files } = await statfs(nearestThere(path));
    // Some file systems have no table of inodes and say 0.
    return { freeBytes: bavail * bsize, freeInodes: files === 0 ? Infinity : ffree };
  },
  connectUnix: (path, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ path, signal });
    socket.once('connect', resolve).once('error', reject);
    return promise.finally(() => socket.destroy());
  },
  run: async (program, words, signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<CommandResult | undefined>();
    execFile(program, words, { signal, timeout: 5_000 }, (error, stdout) => {
      if (error === null) resolve({ code: 0, stdout });
      else if (error.code === 'ENOENT' || error.code === 'EACCES') resolve(undefined);
      else if (typeof error.code === 'number') resolve({ code: error.code, stdout });
      else reject(error);
    });
    return promise;
  },
  userId: () => process.getuid?.() ?? 0,
  folderProblem: async (path) => folderProblem(path),
  localAddresses: () =>
    Object.values(networkInterfaces()).flatMap(
      (found) => found?.map(({ address }) => address) ?? [],
    ),
  listProcesses: async () => {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    const found = await Promise.all(pids.map((pid) => findProcess(Number(pid))));
    return found.filter((each) => each !== undefined);
  },
};

/** Undefined for one that has gone meanwhile. */
async function findFile(folder: string, name: string): Promise<FoundFile | undefined> {
  const found = await orUndefined(stat(`${folder}/${name}`));
  return found && { name, diskBytes: found.blocks * 512, modifiedMs: found.mtimeMs };
}

/** Undefined for one that has ended meanwhile, or is not to be looked at. */
async function findProcess(pid: number): Promise<Process | undefined> {
  const folder = `/proc/${pid}`;
  try {
    const [{ uid }, words, cgroup] = await Promise.all([
      stat(folder),
      readFile(`${folder}/cmdline`, 'utf8'),
      readFile(`${folder}/cgroup`, 'utf8'),
    ]);
    return { pid, ownerId: uid, words: words.split('\0').slice(0, -1), cgroup };
  } catch {
    return undefined;
  }
}

function kindOf(found: Awaited<ReturnType<typeof stat>>): FileInfo['kind'] {
  if (found.isFile()) return 'file';
  if (found.isDirectory()) return 'directory';
  if (found.isSocket()) return 'socket';
  return found.isCharacterDevice() || found.isBlockDevice() ? 'device' : 'other';
}

async function orUndefined<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
    throw error;
  }
}

export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'timeout';
}
