import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Processes that take all the CPU time they get, for tests to run beside. They end with this process, however it ends. */
export class BusyProcesses implements AsyncDisposable {
  readonly #children: readonly ChildProcess[];

  constructor(count: number) {
    const command = ['--pdeathsig', 'KILL', '--', 'sh', '-c', 'while :; do :; done'];
    this.#children = Array.from({ length: count }, () =>
      spawn('setpriv', command, { stdio: 'ignore' }),
    );
  }

  get pids(): number[] {
    return this.#children.flatMap(({ pid }) => pid ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#children.filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    );
    await Promise.all(
      running.map(async (child) => {
        const exit = once(child, 'exit');
        child.kill('SIGKILL');
        await exit;
      }),
    );
  }
}
