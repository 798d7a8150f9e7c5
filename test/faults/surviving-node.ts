import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import { type Operation, OperationState } from '../../src/client/api.ts';
import { hasReason } from '../../src/core/errors.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { driverOf } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

type Asked = Promise<{ readonly operation?: Operation | undefined }>;
type Kill = (node: LabNode, signal: AbortSignal) => Promise<void>;

/** Ends a process of the node at whatever line it is, and has it back. */
export const KILLS: Readonly<Record<string, Kill>> = {
  'the agent': async (node, signal) => {
    await node.agent.kill(signal);
    await node.agent.launch({ source: false }, signal);
    await node.agent.waitReady(signal);
  },
  'its libvirt driver': async (node) => {
    process.kill(driverOf(node).pid, 'SIGKILL');
  },
  libvirtd: async (node, signal) => {
    signalProcess(node.libvirt.findPid(), 'SIGKILL');
    const isGone = () => node.libvirt.findPid() === undefined;
    await waitUntil('The end of libvirtd', PATIENCE_MS, isGone, signal);
    await node.libvirt.startLibvirtd(signal);
  },
};

/** A node of a lab on which something is killed as soon as it has answered. */
export class SurvivingNode implements AsyncDisposable {
  readonly lab: Lab;
  readonly node: LabNode;
  readonly client: AgentClient;
  readonly #kill: Kill;
  readonly #signal: AbortSignal;

  private constructor(lab: Lab, client: AgentClient, kill: Kill, signal: AbortSignal) {
    this.lab = lab;
    this.node = lab.node('a');
    this.client = client;
    this.#kill = kill;
    this.#signal = signal;
  }

  static async start(kill: Kill, signal: AbortSignal): Promise<SurvivingNode> {
    await using undo = new AsyncDisposableStack();
    const lab = undo.use(await Lab.create({ nodes: ['a'] }, signal));
    await lab.startAgents({ accelerator: 'tcg' }, signal);
    const client = await connectAgent(lab.node('a'));
    undo.move();
    return new SurvivingNode(lab, client, kill, signal);
  }

  /** Asks, kills, and returns once the operation has ended, as it must, well. */
  async survive(ask: (operationId: string) => Asked): Promise<void> {
    const id = randomUUID();
    // What was killed before may not be back yet; with its id a request is one however often it is sent.
    await waitUntil('An answer', PATIENCE_MS, () => answered(ask(id)), this.#signal);
    await this.#kill(this.node, this.#signal);
    const ended = await waitUntil(
      'The end of the operation',
      PATIENCE_MS,
      () => this.#ended(id),
      this.#signal,
    );
    assert.equal(ended.state, OperationState.OPERATION_STATE_SUCCEEDED, ended.error?.message);
  }

  async stateIs(name: string, wanted: string): Promise<void> {
    const found = await this.node.libvirt.virsh(['domstate', `default_${name}`], this.#signal);
    assert.equal(found.trim(), wanted);
  }

  async #ended(id: string): Promise<Operation | undefined> {
    try {
      const operation = await this.client.operations.get(id, { signal: this.#signal });
      return operation.endTime === undefined ? undefined : operation;
    } catch (error) {
      if (hasReason(error, 'AGENT_UNREACHABLE')) return undefined;
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.lab[Symbol.asyncDispose]();
  }
}

async function answered(asking: Asked): Promise<boolean> {
  try {
    await asking;
    return true;
  } catch (error) {
    if (hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT', 'STATE_NOT_READY')) {
      return false;
    }
    throw error;
  }
}
