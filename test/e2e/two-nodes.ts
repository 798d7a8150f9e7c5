import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../../lab/core/project.ts';
import type { CommandResult } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { createDemoDisk } from '../../lab/guest/demo-disk.ts';
import { type DemoGuest, ensureDemoGuest } from '../../lab/guest/demo-guest.ts';
import { connectAgent, createDemoVm, findConsoleLog } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { Credentials } from '../../lab/node/certificates.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import type { LabProcess } from '../../lab/plan/lab-processes.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import { signalProcess } from '../fixtures/process-signals.ts';
import { leftoversOf } from './leftovers.ts';
import { DemoVm, PATIENCE_MS } from './moving-vm.ts';
import { novactl } from './novactl.ts';

type Settings = Readonly<Record<string, unknown>>;

export interface DemoVmSettings {
  /** `demo.…` parameters beside the sizes; by default it writes little enough for slow links. */
  readonly parameters?: string;
  readonly region?: string;
}

/** Two lab nodes with agents, and what tests ask of them. */
export class TwoNodes implements AsyncDisposable {
  readonly lab: Lab;
  readonly a: LabNode;
  readonly b: LabNode;
  readonly guest: DemoGuest;
  readonly #clients: Readonly<Record<NodeName, AgentClient>>;
  readonly #settings: Settings;

  private constructor(
    lab: Lab,
    guest: DemoGuest,
    clients: Record<NodeName, AgentClient>,
    settings: Settings,
  ) {
    this.#settings = settings;
    this.lab = lab;
    this.a = lab.node('a');
    this.b = lab.node('b');
    this.guest = guest;
    this.#clients = clients;
  }

  /** `migration` are settings of that section. */
  static async start(
    signal: AbortSignal,
    migration: Readonly<Record<string, unknown>> = {},
  ): Promise<TwoNodes> {
    const guest = await ensureDemoGuest(signal);
    const lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
    await using undo = new AsyncDisposableStack();
    undo.use(lab);
    await writeGate(lab);
    const settings = { migration: { streamer: gateOf(lab), ...migration } };
    await lab.startAgents({ accelerator: 'tcg', settings }, signal);
    const clients = { a: await connectAgent(lab.node('a')), b: await connectAgent(lab.node('b')) };
    undo.move();
    return new TwoNodes(lab, guest, clients, settings);
  }

  /** Brings everything back to how a story begins: both agents work and the VM is on node a. */
  async reset(vm: DemoVm, signal: AbortSignal): Promise<void> {
    await this.lab.link.restore(signal);
    for (const node of this.lab.nodes) {
      for (const { pid } of node.processes()) signalProcess(pid, 'SIGCONT');
      await rm(holdOf(node), { force: true });
      if (node.libvirt.findPid() === undefined) await node.libvirt.startLibvirtd(signal);
      if (node.agent.find() === undefined) await node.agent.launch({ source: false }, signal);
      await node.agent.waitReady(signal);
    }
    await this.expectNothingLeft(signal);
    if ((await vm.state(this.a, signal)) === undefined) await vm.moveFrom(this.b, signal);
  }

  /** Starts the agent of a node where it was killed. */
  async relaunch(node: LabNode, signal: AbortSignal): Promise<void> {
    await node.agent.launch({ source: false }, signal);
    await node.agent.waitReady(signal);
  }

  /** Restarts the agent of a node with other settings or another identity, until disposed. */
  async reconfigure(
    node: LabNode,
    change: { readonly settings?: Settings; readonly credentials?: Credentials },
    signal: AbortSignal,
  ): Promise<AsyncDisposable> {
    const certificates = await this.lab.certificates(signal);
    const own = await certificates.node(node.plan, signal);
    const configure = async ({ settings = {}, credentials = own }: typeof change) => {
      await node.agent.stop(signal);
      await node.agent.configure({
        accelerator: 'tcg',
        credentials,
        peers: [this.other(node).plan],
        settings: { ...this.#settings, ...settings },
      });
      await this.relaunch(node, signal);
    };
    await configure(change);
    return {
      async [Symbol.asyncDispose]() {
        await configure({});
      },
    };
  }

  client(node: NodeName): AgentClient {
    return this.#clients[node];
  }

  other(node: LabNode): LabNode {
    return node === this.a ? this.b : this.a;
  }

  /** Boots a small demo VM with a disk on the nodes' common storage, and waits until it has checked all of both once. */
  async bootVm(
    node: LabNode,
    signal: AbortSignal,
    { parameters = 'demo.rate=300', region = '32M' }: DemoVmSettings = {},
  ): Promise<DemoVm> {
    const name = `demo-${randomBytes(2).toString('hex')}`;
    const disk = await createDemoDisk(this.lab.plan.sharedImages, name, signal);
    const created = await createDemoVm(
      this.client(node.name as NodeName),
      {
        name,
        guest: this.guest,
        parameters: `demo.region=${region} demo.fill=16M ${parameters}`.trim(),
        memory: '256Mi',
        disk,
      },
      signal,
    );
    const uid = created.metadata?.uid ?? '';
    const vm = new DemoVm(this, { name, uid, log: await findConsoleLog(node, uid, signal) });
    using seen = vm.watch();
    const { passes, diskPasses } = seen.console(node);
    await seen
      .console(node)
      .waitFor(
        'The first check of memory and disk',
        PATIENCE_MS,
        () => passes.length > 0 && diskPasses.length > 0,
        signal,
      );
    return vm;
  }

  /** Gives node b's libvirt the host UUID of node a's until disposed. */
  async giveHostUuidOf(from: LabNode, to: LabNode, signal: AbortSignal): Promise<AsyncDisposable> {
    const file = to.outside('etc/libvirt/libvirtd.conf');
    const own = await readFile(file, 'utf8');
    const theirs = await readFile(from.outside('etc/libvirt/libvirtd.conf'), 'utf8');
    const configure = async (content: string) => {
      await writeFile(file, content);
      await this.restartLibvirtd(to, signal);
    };
    await configure(theirs);
    return {
      async [Symbol.asyncDispose]() {
        await configure(own);
      },
    };
  }

  /** Kills libvirtd, starts it again and waits until the agent has noticed both. */
  async restartLibvirtd(node: LabNode, signal: AbortSignal): Promise<void> {
    await this.killLibvirtd(node, signal);
    await waitUntil(
      `Agent ${node.name} to miss its libvirtd`,
      PATIENCE_MS,
      async () => (await node.agent.httpGet('/readyz', signal)).status === 503,
      signal,
    );
    await node.libvirt.startLibvirtd(signal);
    await node.agent.waitReady(signal);
  }

  async killLibvirtd(node: LabNode, signal: AbortSignal): Promise<void> {
    signalProcess(node.libvirt.findPid(), 'SIGKILL');
    await waitUntil(
      `The end of node ${node.name}'s libvirtd`,
      PATIENCE_MS,
      () => node.libvirt.findPid() === undefined,
      signal,
    );
  }

  /** novactl on node a; `--node` chooses another. */
  async novactl(args: readonly string[], signal: AbortSignal): Promise<CommandResult> {
    return novactl(this.lab, args, signal);
  }

  /** While held, a node's streamers start and do nothing, so that a migration stays in its preparation. */
  async holdStreamers(node: LabNode): Promise<AsyncDisposable> {
    await writeFile(holdOf(node), '');
    return {
      async [Symbol.asyncDispose]() {
        await rm(holdOf(node), { force: true });
      },
    };
  }

  /** Waits until nothing of any migration is left, by what is on the nodes and by the word of both agents. */
  async expectNothingLeft(signal: AbortSignal): Promise<void> {
    for (const node of this.lab.nodes) {
      let left: string[] = [];
      try {
        await waitUntil(
          `The end of all transfers on node ${node.name}`,
          PATIENCE_MS,
          async () => {
            left = await leftoversOf(node, this.client(node.name as NodeName), signal);
            return left.length === 0;
          },
          signal,
        );
      } catch (error) {
        signal.throwIfAborted();
        const log =
          node.agent.find() === undefined ? `; its agent has ended:\n${node.logTail('agent')}` : '';
        assert.deepEqual(left, [], `node ${node.name}: ${String(error)}${log}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of Object.values(this.#clients)) client[Symbol.dispose]();
    await this.lab[Symbol.asyncDispose]();
  }
}

/** The libvirt driver process of a node's agent. */
export function driverOf(node: LabNode): LabProcess {
  const driver = node.processes().find(({ command }) => command[0]?.startsWith('novacron-libvirt'));
  assert.ok(driver !== undefined, `Node ${node.name} has no libvirt driver process`);
  return driver;
}

/** The agent's main process. */
export function agentPid(node: LabNode): number {
  const found = node.agent.find();
  assert.ok(found !== undefined, `The agent of node ${node.name} does not run`);
  return found.pid;
}

function holdOf(node: LabNode): string {
  return node.outside('run/hold-streamers');
}

function gateOf(lab: Lab): string {
  return path.join(lab.plan.directory, 'gated-streamer');
}

async function writeGate(lab: Lab): Promise<void> {
  const streamer = inProject('build/streamer/novacron-streamer');
  const wait = 'while [ -e /run/hold-streamers ]; do /bin/sleep 0.05; done';
  await writeFile(gateOf(lab), `#!/bin/sh\n${wait}\nexec ${streamer} "$@"\n`);
  await chmod(gateOf(lab), 0o755);
}
