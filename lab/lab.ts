import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { LabError } from './core/project.ts';
import type { AgentOptions } from './node/agent.ts';
import { Certificates } from './node/certificates.ts';
import { LabNode } from './node/lab-node.ts';
import type { LibvirtOptions } from './node/libvirt.ts';
import { Link } from './node/link.ts';
import { writeContexts } from './node/novactl-contexts.ts';
import {
  DEFAULT_LAB,
  LABS_DIRECTORY,
  type LabPlan,
  type NodeName,
  planLab,
} from './plan/lab-plan.ts';
import { findLabRecord, recordLab } from './plan/lab-record.ts';
import { removeLab } from './remove-lab.ts';

export interface LabOptions extends LibvirtOptions {
  /** Left out: a random one, so that several labs live side by side. */
  readonly name?: string;
  readonly nodes: readonly NodeName[];
}

export type LabAgentOptions = Omit<AgentOptions, 'credentials' | 'peers'>;

/** One or two nodes on this machine, joined by a cable, each with its own libvirt. Disposing removes everything. */
export class Lab implements AsyncDisposable {
  readonly plan: LabPlan;
  readonly nodes: readonly LabNode[];
  readonly link: Link;

  private constructor(plan: LabPlan, nodes: readonly LabNode[]) {
    this.plan = plan;
    this.nodes = nodes;
    this.link = new Link(nodes);
  }

  /** Makes a lab whose libvirts answer; agents are started by `lab.node('a').agent.start(...)`. */
  static async create(options: LabOptions, signal: AbortSignal): Promise<Lab> {
    const name = options.name ?? `t-${randomBytes(3).toString('hex')}`;
    const plan = planLab(name, options.nodes);
    await claim(plan);
    await using undo = new AsyncDisposableStack();
    undo.defer(async () => {
      await removeLab(name);
    });
    await recordLab(plan, process.pid);
    await mkdir(plan.sharedImages, { recursive: true });
    const hosts = [
      '127.0.0.1 localhost',
      ...plan.nodes.map((n) => `${n.address} ${n.hostname}`),
      '',
    ];
    const nodes = await Promise.all(
      plan.nodes.map(async (node) => LabNode.create(name, node, hosts.join('\n'), signal)),
    );
    const lab = new Lab(plan, nodes);
    await Promise.all([
      lab.link.create(signal),
      ...nodes.map(async (node) => node.libvirt.start(options, signal)),
    ]);
    undo.move();
    return lab;
  }

  /** The lab that runs. Fails if there is none or part of it is gone. */
  static async open(name = DEFAULT_LAB): Promise<Lab> {
    const record = await findLabRecord(name);
    if (record === undefined) throw new LabError('The lab is not up: ./dev up starts it');
    const plan = planLab(name, record.nodes);
    return new Lab(
      plan,
      plan.nodes.map((node) => new LabNode(name, node)),
    );
  }

  get name(): string {
    return this.plan.name;
  }

  node(name: NodeName): LabNode {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new LabError(`Lab ${this.name} has no node ${name}`);
    return node;
  }

  /** The lab's certificate authority. */
  async certificates(signal: AbortSignal): Promise<Certificates> {
    return Certificates.ensure(path.join(this.plan.directory, 'certificates'), signal);
  }

  /** Lets the lab outlive this process; otherwise it counts as forgotten as soon as this process has ended. */
  async keep(): Promise<void> {
    await recordLab(this.plan, undefined);
  }

  /** Starts the agents of all nodes as each other's peers, and waits until they are ready. */
  async startAgents(options: LabAgentOptions, signal: AbortSignal): Promise<void> {
    const certificates = await this.certificates(signal);
    await writeContexts(this.plan, this.nodes, certificates, signal);
    await Promise.all(
      this.nodes.map(async (node) => {
        const credentials = await certificates.node(node.plan, signal);
        const peers = this.plan.nodes.filter((peer) => peer.name !== node.name);
        await node.agent.start({ ...options, credentials, peers }, signal);
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await removeLab(this.name);
  }
}

async function claim(plan: LabPlan): Promise<void> {
  await mkdir(LABS_DIRECTORY, { recursive: true });
  try {
    await mkdir(plan.directory);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Another lab, the last one so far, has taken the folder with it.
    if (code === 'ENOENT') return claim(plan);
    if (code !== 'EEXIST') throw error;
    throw new LabError(`Lab ${plan.name} exists already: ./dev down removes it`);
  }
}
