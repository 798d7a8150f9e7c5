import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import type { CommandResult } from '../../lab/core/run-command.ts';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { type AgentMode, ensureAgentGuest } from '../../lab/guest/agent-guest.ts';
import type { Lab } from '../../lab/lab.ts';
import { novactl } from './novactl.ts';

const BOOT_TIMEOUT_MS = 90_000;

interface VmStatus {
  readonly phase?: string;
  readonly conditions?: readonly {
    readonly type: string;
    readonly status: string;
    readonly reason: string;
    readonly message?: string;
  }[];
}

/** A user's VM whose guest has a guest agent, or one that misbehaves, all by novactl on node a. */
export class GuestVm {
  readonly name: string;
  readonly #lab: Lab;
  readonly #signal: AbortSignal;

  private constructor(lab: Lab, name: string, signal: AbortSignal) {
    this.#lab = lab;
    this.name = name;
    this.#signal = signal;
  }

  /** Running, with its guest agent connected unless its guest has none. With a disk that has a file system if it is wanted. */
  static async boot(
    lab: Lab,
    options: {
      readonly name: string;
      readonly mode?: AgentMode;
      readonly hasDisk?: boolean;
      /** More of its machine. */
      readonly machine?: object;
    },
    signal: AbortSignal,
  ): Promise<GuestVm> {
    const { name, mode = 'real', hasDisk = false } = options;
    const guest = await ensureAgentGuest(signal);
    const folder = lab.plan.sharedImages;
    // A folder from which all nodes may boot.
    const files = [guest.kernelPath, guest.initrdPath].map((from) => ({
      from,
      to: path.join(folder, path.basename(from)),
    }));
    for (const { from, to } of files) await copyFile(from, to);
    const [kernel, initrd] = files.map(({ to }) => to);
    const disk = path.join(folder, `${name}.raw`);
    if (hasDisk) {
      await run(['truncate', '--size=16M', disk], {}, signal);
      await run(['mke2fs', '-q', '-t', 'ext4', disk], {}, signal);
    }
    const source = { file: { path: disk } };
    const volume = { name: 'data', format: 'raw', shared: true, source };
    const manifest = {
      apiVersion: 'novacron.io/v1alpha1',
      kind: 'VirtualMachine',
      metadata: { name },
      spec: {
        runStrategy: 'Once',
        template: {
          spec: {
            resources: { cpu: 1, memory: '192Mi' },
            kernel: { path: kernel, initrd, commandLine: guest.commandLine(mode) },
            ...(hasDisk && { volumes: [volume] }),
            ...options.machine,
          },
        },
      },
    };
    const vm = new GuestVm(lab, name, signal);
    await vm.ok(['vm', 'apply', '-f', '-'], JSON.stringify(manifest));
    if (mode !== 'none') await vm.untilConnected();
    return vm;
  }

  /** Runs novactl, whatever comes of it. */
  ctl(args: readonly string[], input?: string): Promise<CommandResult> {
    return novactl(this.#lab, args, this.#signal, input);
  }

  /** Runs novactl, which must succeed; what it prints. */
  async ok(args: readonly string[], input?: string): Promise<string> {
    const { code, stdout, stderr } = await this.ctl(args, input);
    assert.equal(code, 0, `novactl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** Runs a verb of `vm guest` on it. */
  guest(verb: string, ...more: readonly string[]): Promise<CommandResult> {
    return this.ctl(['vm', 'guest', verb, this.name, ...more]);
  }

  exec(...words: readonly string[]): Promise<CommandResult> {
    return this.guest('exec', '--', ...words);
  }

  /** Its condition GuestAgentConnected; undefined if it has none. */
  async connection(...options: readonly string[]) {
    const text = await this.ok([...options, 'vm', 'get', this.name, '-o', 'json']);
    const { status } = JSON.parse(text) as { readonly status: VmStatus };
    return status.conditions?.find(({ type }) => type === 'GuestAgentConnected');
  }

  async untilConnected(...options: readonly string[]): Promise<void> {
    await waitUntil(
      `the guest agent of ${this.name} is connected`,
      BOOT_TIMEOUT_MS,
      async () => (await this.connection(...options))?.status === 'True',
      this.#signal,
    );
  }
}
