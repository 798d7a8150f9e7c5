import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { API_VERSION } from '../../src/core/resources/api-version.ts';
import { signalProcess } from '../fixtures/process-signals.ts';
import { PATIENCE_MS } from './moving-vm.ts';
import { novactl } from './novactl.ts';

const IMAGE = '/run/nothing.raw';

/** A VM as novactl shows it, as far as tests look at it. */
export interface VmDocument {
  readonly metadata: { readonly generation: number };
  readonly status: {
    readonly phase: string;
    readonly pendingFields?: readonly string[];
    readonly pendingChanges?: readonly object[];
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message?: string;
    }[];
  };
}

/** A node without a cluster, and manifests for it. */
export class BareNode implements AsyncDisposable {
  readonly #lab: Lab;
  readonly #folder: string;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.#folder = path.join(lab.plan.directory, 'manifests');
  }

  /** `settings` replace those of the lab in agent.yaml, top-level section by section. */
  static async start(
    signal: AbortSignal,
    settings: Readonly<Record<string, unknown>> = {},
  ): Promise<BareNode> {
    const lab = await Lab.create({ nodes: ['a'] }, signal);
    await using undo = new AsyncDisposableStack();
    undo.use(lab);
    await lab.node('a').run(['truncate', '--size=1M', IMAGE], signal);
    await lab.startAgents({ accelerator: 'tcg', settings }, signal);
    const bare = new BareNode(lab);
    await mkdir(path.join(bare.#folder, 'vms'), { recursive: true });
    undo.move();
    return bare;
  }

  /** Gives the path of a file with these documents. */
  async write(name: string, ...documents: readonly object[]): Promise<string> {
    const file = path.join(this.#folder, name);
    await writeFile(file, documents.map((document) => stringify(document)).join('---\n'));
    return file;
  }

  /** Puts a program of root's on the node, at a path below /run. */
  async addProgram(place: string, text: string): Promise<void> {
    const file = this.#lab.node('a').outside(place.slice(1));
    await mkdir(path.dirname(file), { recursive: true, mode: 0o755 });
    await writeFile(file, text, { mode: 0o755 });
    await chmod(file, 0o755);
  }

  /** What a command on the node says; fails if it fails. */
  run(command: readonly string[], signal: AbortSignal): Promise<string> {
    return this.#lab.node('a').run(command, signal);
  }

  /** Of all that runs as nobody, as hooks do, the command lines of those that have begun a session. */
  async hooks(signal: AbortSignal): Promise<string> {
    const ps = ['ps', '-u', 'nobody', '-o', 'pid=,sid=,args='];
    const { stdout } = await this.#lab.node('a').tryRun(ps, signal);
    return stdout
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([pid, session]) => pid === session)
      .map(([, , ...args]) => args.join(' '))
      .join('\n');
  }

  /** Kills the agent, and has a new one. */
  async restartAgent(signal: AbortSignal): Promise<void> {
    const { agent } = this.#lab.node('a');
    await agent.kill(signal);
    await agent.launch({ source: false }, signal);
    await agent.waitReady(signal);
  }

  /** A folder with one file of two documents: a VM that runs, with this memory, and one that does not. */
  async writeVms(memory: string): Promise<string> {
    const web = vm({ name: 'web' }, 'Always', memory);
    const db = vm({ name: 'db', namespace: 'shop' }, 'Manual', '64Mi');
    return path.dirname(await this.write('vms/two.yaml', web, db));
  }

  novactl(args: readonly string[], signal: AbortSignal, input?: string) {
    return novactl(this.#lab, args, signal, input);
  }

  /** What novactl says; fails if it fails. */
  async succeed(args: readonly string[], signal: AbortSignal, input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.novactl(args, signal, input);
    assert.equal(code, EXIT_CODES.ok, `${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  async get(name: string, signal: AbortSignal): Promise<VmDocument> {
    const text = await this.succeed(['vm', 'get', name, '-o', 'json'], signal);
    return JSON.parse(text) as VmDocument;
  }

  /** The names of all domains, by libvirt's word. */
  async domains(signal: AbortSignal): Promise<string[]> {
    const names = await this.#lab.node('a').libvirt.virsh(['list', '--all', '--name'], signal);
    return names.split('\n').filter(Boolean).toSorted();
  }

  /** What a domain runs with, by libvirt's word. */
  async memoryMib(domain: string, signal: AbortSignal): Promise<number> {
    const xml = await this.#lab.node('a').libvirt.virsh(['dumpxml', domain], signal);
    return Number(/<memory unit='KiB'>(\d+)</.exec(xml)?.[1]) / 1024;
  }

  async virsh(command: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#lab.node('a').libvirt.virsh(command, signal);
  }

  /** Kills libvirtd and the agent, and has new ones. */
  async restartDaemons(signal: AbortSignal): Promise<void> {
    const { agent, libvirt } = this.#lab.node('a');
    await agent.kill(signal);
    const libvirtd = libvirt.findPid();
    assert.ok(libvirtd !== undefined);
    signalProcess(libvirtd, 'SIGKILL');
    await waitUntil('No libvirtd', PATIENCE_MS, () => libvirt.findPid() === undefined, signal);
    await libvirt.startLibvirtd(signal);
    await agent.launch({ source: false }, signal);
    await agent.waitReady(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}

/** Its firmware finds nothing to boot, and then idles. */
export function vm(
  metadata: object,
  runStrategy: string,
  memory: string,
  more: object = {},
): object {
  const machine = {
    ...more,
    resources: { cpu: 1, memory },
    volumes: [{ name: 'none', kind: 'cdrom', format: 'raw', source: { file: { path: IMAGE } } }],
  };
  const spec = { runStrategy, template: { spec: machine } };
  return { apiVersion: API_VERSION, kind: 'VirtualMachine', metadata, spec };
}
