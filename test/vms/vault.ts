import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { CommandResult } from '../../lab/core/run-command.ts';
import { findConsoleLog, watchConsole } from '../../lab/guest/demo-vm.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { novactl } from '../e2e/novactl.ts';
import type { TwoNodes } from '../e2e/two-nodes.ts';

export const KEY_NAME = 'disk-key';
export const encryption = { secret: KEY_NAME };

/** Two nodes, a key, and a VM `vault` whose guest writes to its first disk and knows what must be on it. */
export class Vault {
  readonly key = `open-sesame-${randomUUID()}`;
  /** What has the key. */
  readonly keyFile: string;
  readonly folder: string;
  readonly #nodes: TwoNodes;

  constructor(nodes: TwoNodes) {
    this.#nodes = nodes;
    this.folder = nodes.lab.plan.sharedImages;
    this.keyFile = path.join(nodes.lab.plan.storage, 'key');
  }

  static async open(nodes: TwoNodes): Promise<Vault> {
    const vault = new Vault(nodes);
    await writeFile(vault.keyFile, `${vault.key}\n`, { mode: 0o600 });
    return vault;
  }

  /** For commands that are given the key. */
  get given(): string {
    return `--secret ${KEY_NAME}=${this.keyFile}`;
  }

  manifest(volumes: readonly object[], metadata: object = {}): string {
    const { kernelPath, initrdPath, commandLine } = this.#nodes.guest;
    // Its kernel says what disks it finds.
    const words = commandLine.replace('quiet', 'loglevel=7');
    const parameters = 'demo.region=16M demo.fill=8M demo.rate=300 demo.disk=1M';
    const kernel = {
      path: kernelPath,
      initrd: initrdPath,
      commandLine: `${words} ${parameters}`,
    };
    const resources = { cpu: 1, memory: '256Mi' };
    return JSON.stringify({
      apiVersion: 'novacron.io/v1alpha1',
      kind: 'VirtualMachine',
      metadata: { name: 'vault', ...metadata },
      spec: { runStrategy: 'Always', template: { spec: { resources, kernel, volumes } } },
    });
  }

  ctl(args: string, signal: AbortSignal, input?: string): Promise<CommandResult> {
    return novactl(this.#nodes.lab, args.split(' '), signal, input);
  }

  async ok(args: string, signal: AbortSignal, input?: string): Promise<CommandResult> {
    const result = await this.ctl(args, signal, input);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  }

  /** Names of disks. */
  async made(): Promise<readonly string[]> {
    return (await readdir(this.folder)).filter((name) => /^[0-9a-f-]{36}-\w+\./.test(name));
  }

  /** Waits until the guest has read all of its disk once more, and found it right; gives its uid. */
  async checked(node: LabNode, signal: AbortSignal): Promise<string> {
    const { stdout } = await this.ok(`--node ${node.name} vm get vault -o json`, signal);
    const { metadata } = JSON.parse(stdout) as { readonly metadata: { readonly uid: string } };
    using watcher = watchConsole(node, await findConsoleLog(node, metadata.uid, signal));
    const isChecked = () => watcher.diskPasses.length > 1;
    await watcher.waitFor('a check of the whole disk', PATIENCE_MS, isChecked, signal);
    assert.deepEqual([watcher.diskBad, watcher.alarms], [0, []]);
    return metadata.uid;
  }
}
