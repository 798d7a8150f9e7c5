import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { LabError } from '../core/project.ts';
import {
  type CommandResult,
  type RunOptions,
  run,
  runAttached,
  tryRun,
} from '../core/run-command.ts';
import type { NodePlan } from '../plan/lab-plan.ts';
import {
  findLabProcesses,
  LAB_VARIABLE,
  type LabProcess,
  NODE_VARIABLE,
} from '../plan/lab-processes.ts';

/**
 * A machine of its own as far as its programs can tell: network, mount, UTS and PID namespaces with private /run and
 * libvirt folders. Its processes live until the lab is removed, whoever started them.
 */
export class LabMachine {
  readonly plan: NodePlan;
  readonly #lab: string;
  readonly #initPid: number;

  /** The machine as it runs. Fails if it does not. */
  constructor(lab: string, plan: NodePlan) {
    const init = findLabProcesses(lab).find(
      (process) => process.pidInNode === 1 && process.node === plan.name,
    );
    if (init === undefined) throw new LabError(`Node ${plan.name} of lab ${lab} does not run`);
    this.#lab = lab;
    this.plan = plan;
    this.#initPid = init.pid;
  }

  get name(): string {
    return this.plan.name;
  }

  /** The first process, seen from outside. */
  get initPid(): number {
    return this.#initPid;
  }

  /** Where a path of the node's /run, /etc/libvirt and so on is seen from outside. */
  outside(inside: string): string {
    return path.join(this.plan.directory, inside);
  }

  /** Runs a program inside the node. */
  async run(
    command: readonly string[],
    signal: AbortSignal,
    options: RunOptions = {},
  ): Promise<string> {
    return run([...this.#enter(), ...command], this.#options(options), signal);
  }

  /** Like `run`, but any exit code will do. */
  async tryRun(
    command: readonly string[],
    signal: AbortSignal,
    options: RunOptions = {},
  ): Promise<CommandResult> {
    return tryRun([...this.#enter(), ...command], this.#options(options), signal);
  }

  /** Runs a program inside the node on this terminal, in this folder, and gives its exit code. */
  async runAttached(
    command: readonly string[],
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<number> {
    const inFolder = ['sh', '-c', 'cd "$0" && exec "$@"', process.cwd(), ...command];
    const env = { ...process.env, ...environmentOf(this.#lab, this.plan), ...environment };
    return runAttached([...this.#enter(), ...inFolder], { cwd: '/', env }, signal);
  }

  /**
   * Starts a daemon inside the node, in a session of its own, its output appended to `log/NAME.log`. It outlives
   * this process. Returns its pid as seen from outside.
   */
  async startDaemon(
    name: string,
    command: readonly string[],
    environment: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<number> {
    mkdirSync(this.outside('log'), { recursive: true });
    const script = 'echo $$; log=$0; exec "$@" >>"$log" 2>&1 </dev/null';
    const pidInNode = await this.run(
      ['setsid', '--fork', 'sh', '-c', script, this.logPath(name), ...command],
      signal,
      { env: environment },
    );
    const found = this.processes().find((process) => process.pidInNode === Number(pidInNode));
    if (found !== undefined) return found.pid;
    throw new LabError(`${name} ended at once:\n${this.logTail(name)}`);
  }

  /** All that a daemon has written. */
  readLog(daemon: string): string {
    return readFileSync(this.logPath(daemon), 'utf8');
  }

  /** The last lines of a daemon's log, for people. */
  logTail(daemon: string): string {
    return tail(this.logPath(daemon));
  }

  logPath(daemon: string): string {
    return path.join(this.plan.directory, 'log', `${daemon}.log`);
  }

  /** Everything that runs in the node now, QEMU and streamers included. */
  processes(): LabProcess[] {
    const all = findLabProcesses(this.#lab);
    const namespace = all.find((process) => process.pid === this.#initPid)?.namespace;
    return all.filter((process) => process.namespace === namespace);
  }

  #enter(): string[] {
    return ['nsenter', `--target=${this.#initPid}`, '--net', '--mount', '--uts', '--pid', '--'];
  }

  #options(options: RunOptions): RunOptions {
    return {
      ...options,
      cwd: '/',
      env: { ...environmentOf(this.#lab, this.plan), ...options.env },
    };
  }
}

/** What every program of the machine finds in its environment. */
export function environmentOf(lab: string, plan: NodePlan): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    LC_ALL: 'C.UTF-8',
    [LAB_VARIABLE]: lab,
    [NODE_VARIABLE]: plan.name,
  };
}

/** The last lines of a file. */
export function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
}
