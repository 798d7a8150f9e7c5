import assert from 'node:assert/strict';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type CommandResult, run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDistributionGuest } from '../../lab/guest/distribution/distribution-guest.ts';
import { Lab } from '../../lab/lab.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import { novactl } from '../e2e/novactl.ts';

const BOOT_TIMEOUT_MS = 480_000;

/** A user's VM `web` of a real Debian on a lab, all by novactl. What its guest prints after `says: ` is heard. */
export class DebianVm implements AsyncDisposable {
  readonly name = 'web';
  readonly #lab: Lab;
  readonly #machine: object;
  readonly #signal: AbortSignal;
  #heard = 0;

  private constructor(lab: Lab, machine: object, signal: AbortSignal) {
    this.#lab = lab;
    this.#machine = machine;
    this.#signal = signal;
  }

  /** With a disk of its own on storage that all nodes have; nothing is applied yet. */
  static async prepare(nodes: readonly NodeName[], signal: AbortSignal): Promise<DebianVm> {
    const guest = await ensureDistributionGuest(signal);
    await using undo = new AsyncDisposableStack();
    const lab = undo.use(await Lab.create({ nodes }, signal));
    const secrets = { folder: path.join(lab.plan.directory, 'secrets') };
    await lab.startAgents({ accelerator: 'tcg', settings: { secrets } }, signal);
    const folder = lab.plan.sharedImages;
    await run(['cp', '--sparse=always', guest.imagePath, `${folder}/base.raw`], {}, signal);
    for (const from of [guest.kernelPath, guest.initrdPath]) {
      await copyFile(from, path.join(folder, path.basename(from)));
    }
    const disk = `${folder}/root.qcow2`;
    const backing = ['-b', `${folder}/base.raw`, '-F', 'raw'];
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, disk], {}, signal);
    const machine = {
      resources: { cpu: 1, memory: '640Mi' },
      kernel: {
        path: `${folder}/vmlinuz`,
        initrd: `${folder}/initrd`,
        commandLine: guest.commandLine,
      },
      volumes: [{ name: 'root', format: 'qcow2', shared: true, source: { file: { path: disk } } }],
    };
    undo.move();
    return new DebianVm(lab, machine, signal);
  }

  /** Node a on the network of the VMs. */
  get bridge() {
    return this.#lab.node('a').plan.bridge;
  }

  /** Runs novactl on node a, which must succeed, and returns all that it says. */
  async ctl(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await novactl(this.#lab, args, this.#signal, input);
    assert.equal(code, 0, `novactl ${args.join(' ')}: ${stderr}`);
    return stdout + stderr;
  }

  /** Runs novactl on node a, whatever comes of it. */
  tryCtl(args: readonly string[]): Promise<CommandResult> {
    return novactl(this.#lab, args, this.#signal);
  }

  /** Applies a manifest in which this stands beside what boots it. */
  apply(machine: object, ...options: readonly string[]): Promise<string> {
    const manifest = {
      apiVersion: 'novacron.io/v1alpha1',
      kind: 'VirtualMachine',
      metadata: { name: this.name },
      spec: { runStrategy: 'Manual', template: { spec: { ...this.#machine, ...machine } } },
    };
    return this.ctl(['vm', 'apply', '-f', '-', ...options], JSON.stringify(manifest));
  }

  /** Puts a secret on the nodes, which share a folder for them. */
  async putSecret(name: string, content: string): Promise<void> {
    const folder = path.join(this.#lab.plan.directory, 'secrets');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, name), content, { mode: 0o600 });
  }

  async read<T>(): Promise<T> {
    return JSON.parse(await this.ctl(['vm', 'get', this.name, '-o', 'json'])) as T;
  }

  /** What its guest says next on this node that begins with these words. */
  nextSaid(node: NodeName, beginning: string): Promise<string> {
    return waitUntil(
      `the guest says ${beginning}`,
      BOOT_TIMEOUT_MS,
      async () => {
        const log = await this.ctl(['--node', node, 'vm', 'log', this.name]);
        const all = [...log.matchAll(/^says: (.*)\.\r?$/gm)].map(([, words]) => words ?? '');
        const found = all.slice(this.#heard).find((words) => words.startsWith(beginning));
        if (found !== undefined) this.#heard = all.length;
        return found;
      },
      this.#signal,
    );
  }

  /** Its console is logged anew, as on another node. */
  forgetHeard(): void {
    this.#heard = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lab[Symbol.asyncDispose]();
  }
}
