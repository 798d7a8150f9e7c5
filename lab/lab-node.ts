import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Agent } from './agent.ts';
import type { NodePlan } from './lab-plan.ts';
import { findLabProcesses, LAB_VARIABLE, type LabProcess, NODE_VARIABLE } from './lab-processes.ts';
import { Libvirt } from './libvirt.ts';
import { inProject, LabError } from './project.ts';
import { type CommandResult, type RunOptions, run, runAttached, tryRun } from './run-command.ts';

/**
 * A machine of its own as far as libvirt and the agent can tell: network, mount, UTS and PID namespaces with
 * private /run and libvirt folders. Its processes live until the lab is removed, whoever started them.
 */
export class LabNode {
  readonly plan: NodePlan;
  readonly libvirt: Libvirt;
  readonly agent: Agent;
  readonly #lab: string;
  readonly #initPid: number;

  private constructor(lab: string, plan: NodePlan, initPid: number) {
    this.#lab = lab;
    this.plan = plan;
    this.#initPid = initPid;
    this.libvirt = new Libvirt(this);
    this.agent = new Agent(this);
  }

  /** Makes the node's namespaces and folders; nothing runs in it yet. */
  static async create(
    lab: string,
    plan: NodePlan,
    hosts: string,
    signal: AbortSignal,
  ): Promise<LabNode> {
    await mkdir(path.join(plan.directory, 'log'), { recursive: true });
    await writeFile(path.join(plan.directory, 'hosts'), hosts);
    await writeFile(path.join(plan.directory, 'host-uuid'), randomUUID());
    signal.throwIfAborted();
    const logPath = path.join(plan.directory, 'log/init.log');
    const log = openSync(logPath, 'a');
    const namespaces = [
      '--net',
      '--mount',
      '--uts',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
    ];
    const init = ['sh', inProject('lab/node-init.sh'), plan.hostname, plan.directory];
    const child = spawn('unshare', [...namespaces, ...init], {
      cwd: '/',
      detached: true,
      env: environmentOf(lab, plan),
      stdio: ['ignore', log, log, 'pipe'],
    });
    closeSync(log);
    await readyOf(child, logPath);
    return LabNode.find(lab, plan);
  }

  /** The node as it runs. Fails if it does not. */
  static find(lab: string, plan: NodePlan): LabNode {
    const init = findLabProcesses(lab).find(
      (process) => process.pidInNode === 1 && process.node === plan.name,
    );
    if (init === undefined) throw new LabError(`Node ${plan.name} of lab ${lab} does not run`);
    return new LabNode(lab, plan, init.pid);
  }

  get name(): string {
    return this.plan.name;
  }

  /** The node's first process, seen from outside. */
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

  /** The last lines of a daemon's log. */
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

function environmentOf(lab: string, plan: NodePlan): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    LC_ALL: 'C.UTF-8',
    [LAB_VARIABLE]: lab,
    [NODE_VARIABLE]: plan.name,
  };
}

/** Resolves once the node's first process says that it is ready. */
async function readyOf(child: ChildProcess, logPath: string): Promise<void> {
  const channel = child.stdio[3];
  const said = await new Promise<boolean>((resolve) => {
    channel?.once('data', () => {
      resolve(true);
    });
    channel?.once('close', () => {
      resolve(false);
    });
    child.once('error', () => {
      resolve(false);
    });
  });
  channel?.destroy();
  child.unref();
  if (!said) throw new LabError(`Cannot make a lab node:\n${tail(logPath)}`);
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-10).join('\n');
}
