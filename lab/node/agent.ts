import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { inProject, LabError } from '../core/project.ts';
import { waitUntil } from '../core/wait-until.ts';
import type { NodePlan } from '../plan/lab-plan.ts';
import { type LabProcess, readProcess } from '../plan/lab-processes.ts';
import type { Credentials } from './certificates.ts';
import type { LabMachine } from './lab-machine.ts';

export const AGENT_PORT = 7443;
/**
 * As the image starts it. V8 would take room for young objects, and threads to collect them, by the size of the host; less than 4 MiB
 * makes objects old that are needed no longer.
 */
export const MEMORY_FLAGS = [
  '--min-semi-space-size=4',
  '--max-semi-space-size=4',
  '--max-old-space-size=256',
  '--v8-pool-size=1',
];
const HTTP_PORT = 7480;
/** Where tests publish images on a node itself, without TLS. */
export const REGISTRY_PORT = 8098;
export const S3_PORT = 8097;
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 20_000;

export interface AgentOptions {
  readonly credentials: Credentials;
  readonly peers: readonly NodePlan[];
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  /** Runs src/ as it is instead of dist/; slower to start, nothing to build. */
  readonly source?: boolean;
  /** What runs its program; this process's Node unless given. */
  readonly runner?: readonly string[];
  /** Settings of agent.yaml that replace those of the lab, top-level section by section. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** The agent of a lab node. */
export class Agent {
  readonly #machine: LabMachine;

  constructor(machine: LabMachine) {
    this.#machine = machine;
  }

  /** Its unix socket, as seen from outside the node. */
  get socket(): string {
    return this.#machine.outside('run/novacron/agent.sock');
  }

  /** Where peers reach it, inside the lab. */
  get advertise(): string {
    return `${this.#machine.plan.address}:${AGENT_PORT}`;
  }

  get configPath(): string {
    return path.join(this.#machine.plan.directory, 'agent.yaml');
  }

  get logPath(): string {
    return this.#machine.logPath('agent');
  }

  /** Writes agent.yaml, starts the agent and waits until it is ready. */
  async start(options: AgentOptions, signal: AbortSignal): Promise<void> {
    await this.configure(options);
    const { source = false, runner } = options;
    await this.launch({ source, ...(runner && { runner }) }, signal);
    await this.waitReady(signal);
  }

  async configure(options: AgentOptions): Promise<void> {
    const { certificate, key, ca } = options.credentials;
    const stateDirectory = path.join(this.#machine.plan.directory, 'state');
    await mkdir(stateDirectory, { recursive: true });
    await writeFile(
      this.configPath,
      stringify({
        nodeName: this.#machine.name,
        listen: `0.0.0.0:${AGENT_PORT}`,
        advertise: this.advertise,
        httpListen: `127.0.0.1:${HTTP_PORT}`,
        stateDirectory,
        tls: { certificate, key, ca },
        hypervisor: { accelerator: options.accelerator },
        // The node's own folder, that of images which both nodes see, and what is built for the demo VM.
        images: {
          folders: ['/run', inProject('.lab'), inProject('build'), '/var/lib/libvirt/images'],
          diskFolder: this.#machine.plan.sharedImages,
          blockDevices: ['/dev/loop*'],
          // Tests publish images on the node itself.
          forbiddenNetworks: ['169.254.0.0/16', 'fe80::/10'],
          insecureRegistries: [`127.0.0.1:${REGISTRY_PORT}`],
          s3: { endpoint: `http://127.0.0.1:${S3_PORT}`, region: 'eu-central-1' },
        },
        lifecycle: { hooks: true, hookFolder: await this.#makeHooks() },
        // Labs have guests that are smaller than anybody's real ones.
        limits: { minMemory: '16Mi' },
        migration: { streamer: inProject('build/streamer/novacron-streamer') },
        peers: Object.fromEntries(options.peers.map((n) => [n.name, `${n.address}:${AGENT_PORT}`])),
        ...options.settings,
      }),
    );
  }

  /** A folder of hooks with one that says in a file beside it that it was run. */
  async #makeHooks(): Promise<string> {
    const [folder, log] = ['/run/hooks', '/run/hooks.log'];
    const outside = this.#machine.outside(folder.slice(1));
    await mkdir(outside, { recursive: true });
    const note = `echo "$NOVACRON_HOOK $NOVACRON_VM_NAMESPACE/$NOVACRON_VM_NAME $*" >>${log}`;
    await writeFile(path.join(outside, 'note'), `#!/bin/sh\n${note}\n`, { mode: 0o755 });
    await writeFile(this.#machine.outside(log.slice(1)), '', { flag: 'a', mode: 0o666 });
    // Whatever the umask is.
    await chmod(outside, 0o755);
    await chmod(path.join(outside, 'note'), 0o755);
    await chmod(this.#machine.outside(log.slice(1)), 0o666);
    return folder;
  }

  /** Starts the agent with the settings that are there, and does not wait for it. */
  async launch(
    options: { readonly source: boolean; readonly runner?: readonly string[] },
    signal: AbortSignal,
  ): Promise<void> {
    if (this.find() !== undefined) throw new LabError(`Agent ${this.#machine.name} runs already`);
    const main = inProject(options.source ? 'src/agent/main.ts' : 'dist/agent/main.js');
    const runner = options.runner ?? [process.execPath];
    await this.#machine.startDaemon(
      'agent',
      [...runner, ...MEMORY_FLAGS, main, '--config', this.configPath],
      {},
      signal,
    );
  }

  /** Resolves once `/readyz` says so. Fails at once if the agent ends first. */
  async waitReady(signal: AbortSignal): Promise<void> {
    await waitUntil(
      `Readiness of agent ${this.#machine.name} (${this.logPath})`,
      READY_TIMEOUT_MS,
      async () => {
        if (this.find() === undefined) {
          throw new LabError(
            `Agent ${this.#machine.name} ended:\n${this.#machine.logTail('agent')}`,
          );
        }
        return (await this.tryHttpGet('/readyz', signal))?.status === 200;
      },
      signal,
    );
  }

  /** Its main process; undefined when it does not run. */
  find(): LabProcess | undefined {
    return this.#machine
      .processes()
      .filter(({ command }) => command.includes('--config') && command.includes(this.configPath))
      .toSorted((x, y) => x.pidInNode - y.pidInNode)
      .at(0);
  }

  /** Asks it to end and waits until it has. An agent that does not run counts as stopped. */
  async stop(signal: AbortSignal): Promise<void> {
    await this.#signal('SIGTERM', signal);
  }

  /** Ends it at whatever line it is and waits until it is gone; its child processes stay. */
  async kill(signal: AbortSignal): Promise<void> {
    await this.#signal('SIGKILL', signal);
  }

  /** Stops it and starts it again with the same settings and program. */
  async restart(signal: AbortSignal): Promise<void> {
    const source = this.find()?.command.some((argument) => argument.endsWith('main.ts')) ?? false;
    await this.stop(signal);
    await this.launch({ source }, signal);
    await this.waitReady(signal);
  }

  /** A page of its HTTP server, such as `/metrics`. Fails if it does not answer. */
  async httpGet(page: string, signal: AbortSignal): Promise<{ status: number; body: string }> {
    const answer = await this.tryHttpGet(page, signal);
    if (answer === undefined)
      throw new LabError(`Agent ${this.#machine.name} does not answer HTTP`);
    return answer;
  }

  /** Undefined when nothing answers. */
  async tryHttpGet(
    page: string,
    signal: AbortSignal,
  ): Promise<{ status: number; body: string } | undefined> {
    // The page is served on the node's own loopback; bash alone can talk to it from there.
    const script = `exec 3<>/dev/tcp/127.0.0.1/${HTTP_PORT} && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' "$0" >&3 && cat <&3`;
    const { code, stdout } = await this.#machine.tryRun(['bash', '-c', script, page], signal);
    const parts = /^HTTP\/1\.\d (\d+)[^]*?\r\n\r\n([^]*)$/.exec(stdout);
    if (code !== 0 || parts === null) return undefined;
    return { status: Number(parts[1]), body: parts[2] ?? '' };
  }

  async #signal(name: NodeJS.Signals, signal: AbortSignal): Promise<void> {
    const found = this.find();
    if (found === undefined) return;
    process.kill(found.pid, name);
    await waitUntil(
      `The end of agent ${this.#machine.name} after ${name}`,
      STOP_TIMEOUT_MS,
      () => readProcess(found.pid) === undefined,
      signal,
    );
  }
}
