import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtempDisposable } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { type CommandResult, tryRun } from '../../../lab/core/run-command.ts';

/** What is changed in it is in memory, seen by nobody else, and gone with the process that made it. */
const SET_UP = `set -e
mount -t tmpfs none "$0"
mkdir "$0/upper" "$0/work" "$0/root"
mount -t overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" none "$0/root"
mount -t proc none "$0/root/proc"
mount --rbind /dev "$0/root/dev"
mount -t tmpfs none "$0/root/run"
mount -t tmpfs none "$0/root/tmp"
echo ready
read -r _ || :
`;
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** This machine once more, to install packages on: with all that is installed here, and nothing running. */
export class HostCopy implements AsyncDisposable {
  readonly #keeper: ChildProcess;
  readonly #root: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(keeper: ChildProcess, root: string, stack: AsyncDisposableStack) {
    this.#keeper = keeper;
    this.#root = root;
    this.#stack = stack;
  }

  static async make(): Promise<HostCopy> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await mkdtempDisposable(path.join(os.tmpdir(), 'host-copy-')));
    const keeper = spawn('unshare', ['--mount', 'sh', '-c', SET_UP, folder.path], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    stack.defer(async () => {
      const ended = keeper.exitCode === null ? once(keeper, 'exit') : undefined;
      keeper.stdin.end();
      await ended;
    });
    const ready = once(keeper.stdout, 'data');
    const failed = once(keeper, 'exit').then(() => Promise.reject(new Error('Cannot set it up')));
    failed.catch(() => undefined);
    await Promise.race([ready, failed]);
    return new HostCopy(keeper, path.join(folder.path, 'root'), stack.move());
  }

  /** Runs a program in it with no more of an environment than is given. */
  async tryRun(
    command: readonly string[],
    signal: AbortSignal,
    environment: Readonly<Record<string, string>> = { PATH },
  ): Promise<CommandResult> {
    const enter = ['nsenter', `--mount=/proc/${this.#keeper.pid}/ns/mnt`];
    const words = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const inside = ['chroot', this.#root, '/usr/bin/env', '-i', ...words, ...command];
    return await tryRun([...enter, ...inside], {}, signal);
  }

  /** Fails if the shell's script does; gives what it has printed. */
  async run(script: string, signal: AbortSignal): Promise<string> {
    const { code, stdout, stderr } = await this.tryRun(['sh', '-ec', script], signal);
    if (code === 0) return stdout;
    throw new Error(`${script} failed with ${code}:\n${stderr}${stdout}`);
  }

  /** Puts a file of this machine at a path in it. */
  async put(file: string, target: string): Promise<void> {
    await cp(file, `/proc/${this.#keeper.pid}/root${this.#root}${target}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
