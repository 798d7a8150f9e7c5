import { run } from '../core/run-command.ts';
import { GuestNetwork } from './guest-network.ts';
import type { LabNode } from './lab-node.ts';

const INTERFACE = 'eth0';

// A token bucket must hold the largest packet that the kernel hands down in one piece.
const MIN_BURST_BYTES = 128 * 1024;
const BURST_SECONDS = 0.01;
const QUEUE_MS = 50;

/** The cables between two nodes: one for the agents and what they copy, and one for the network of the VMs. */
export class Link {
  readonly #nodes: readonly LabNode[];
  readonly #guests: GuestNetwork;

  constructor(nodes: readonly LabNode[]) {
    this.#nodes = nodes;
    this.#guests = new GuestNetwork(nodes);
  }

  /** Plugs the cables in and gives all ends their addresses. */
  async create(signal: AbortSignal): Promise<void> {
    await this.#guests.create(signal);
    const [first, second] = this.#nodes;
    if (first === undefined || second === undefined) return;
    // Both ends are made in their nodes, so the names meet no other lab's.
    const here = ['netns', String(first.initPid), 'type', 'veth'];
    const there = ['peer', 'name', INTERFACE, 'netns', String(second.initPid)];
    await run(['ip', 'link', 'add', INTERFACE, ...here, ...there], {}, signal);
    await this.#eachEnd((node) => {
      const address = `${node.plan.address}/${node.plan.prefixLength}`;
      return [
        'sh',
        '-c',
        `ip address add ${address} dev ${INTERFACE} && ip link set ${INTERFACE} up`,
      ];
    }, signal);
  }

  /** Limits both directions of the agents' cable, each for itself; `undefined` removes the limit. */
  async limit(bitsPerSecond: number | undefined, signal: AbortSignal): Promise<void> {
    if (bitsPerSecond === undefined) {
      const remove = `tc qdisc del dev ${INTERFACE} root 2>/dev/null || :`;
      await this.#eachEnd(() => ['sh', '-c', remove], signal);
      return;
    }
    const burst = Math.max(MIN_BURST_BYTES, Math.round((bitsPerSecond / 8) * BURST_SECONDS));
    const bucket = [
      'rate',
      `${bitsPerSecond}bit`,
      'burst',
      String(burst),
      'latency',
      `${QUEUE_MS}ms`,
    ];
    const add = ['tc', 'qdisc', 'replace', 'dev', INTERFACE, 'root', 'tbf', ...bucket];
    await this.#eachEnd(() => add, signal);
  }

  /** Pulls the cables. Connections stay and stall. */
  async cut(signal: AbortSignal): Promise<void> {
    await this.#guests.setCable('down', signal);
    await this.#eachEnd(() => ['ip', 'link', 'set', INTERFACE, 'down'], signal);
  }

  async restore(signal: AbortSignal): Promise<void> {
    await this.#guests.setCable('up', signal);
    await this.#eachEnd(() => ['ip', 'link', 'set', INTERFACE, 'up'], signal);
  }

  async #eachEnd(
    command: (node: LabNode) => readonly string[],
    signal: AbortSignal,
  ): Promise<void> {
    await Promise.all(this.#nodes.map((node) => node.run(command(node), signal)));
  }
}
