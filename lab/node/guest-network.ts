import { run } from '../core/run-command.ts';
import { waitUntil } from '../core/wait-until.ts';
import type { LabNode } from './lab-node.ts';

/** The bridge of each node that VMs can be connected to. */
export const GUEST_BRIDGE = 'br0';
/** The end of the second cable, a port of the bridge. */
const PORT = 'eth1';
const START_TIMEOUT_MS = 10_000;
const LEASE_TIME = '1h';

/**
 * A network for VMs: a bridge on each node, joined by a cable of its own, and a DHCP server on the first node. Nodes have an
 * address on it, so that they reach the guests; there is no way out.
 */
export class GuestNetwork {
  readonly #nodes: readonly LabNode[];

  constructor(nodes: readonly LabNode[]) {
    this.#nodes = nodes;
  }

  async create(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#nodes.map((node) => addBridge(node, signal)));
    const [first, second] = this.#nodes;
    if (first === undefined) return;
    if (second !== undefined) await join(first, second, signal);
    await startDhcp(first, signal);
  }

  /** Pulls the cable, or plugs it in again. */
  async setCable(state: 'up' | 'down', signal: AbortSignal): Promise<void> {
    if (this.#nodes.length < 2) return;
    await Promise.all(
      this.#nodes.map((node) => node.run(['ip', 'link', 'set', PORT, state], signal)),
    );
  }
}

async function addBridge(node: LabNode, signal: AbortSignal): Promise<void> {
  const { address, prefixLength, mac } = node.plan.bridge;
  // Its own address, or the bridge would take that of one of its ports, and another one as VMs come and go.
  const add = `ip link add ${GUEST_BRIDGE} address ${mac} type bridge`;
  const configure = `ip address add ${address}/${prefixLength} dev ${GUEST_BRIDGE}`;
  const script = `${add} && ${configure} && ip link set ${GUEST_BRIDGE} up`;
  await node.run(['sh', '-c', script], signal);
}

async function join(first: LabNode, second: LabNode, signal: AbortSignal): Promise<void> {
  const here = ['netns', String(first.initPid), 'type', 'veth'];
  const there = ['peer', 'name', PORT, 'netns', String(second.initPid)];
  await run(['ip', 'link', 'add', PORT, ...here, ...there], {}, signal);
  const plug = ['ip', 'link', 'set', PORT, 'master', GUEST_BRIDGE, 'up'];
  await Promise.all([first, second].map((node) => node.run(plug, signal)));
}

async function startDhcp(node: LabNode, signal: AbortSignal): Promise<void> {
  const { first, last } = node.plan.bridge.leases;
  await node.startDaemon(
    'dnsmasq',
    [
      'dnsmasq',
      '--keep-in-foreground',
      '--conf-file=/dev/null',
      '--user=root',
      // No DNS, which is another port that somebody may have.
      '--port=0',
      '--bind-interfaces',
      `--interface=${GUEST_BRIDGE}`,
      '--except-interface=lo',
      `--dhcp-range=${first},${last},${LEASE_TIME}`,
      '--dhcp-authoritative',
      // Otherwise it waits three seconds before each offer.
      '--no-ping',
      // There is no way out of this network, and no server for names.
      '--dhcp-option=option:router',
      '--dhcp-option=option:dns-server',
      `--dhcp-leasefile=${node.outside('run/dnsmasq.leases')}`,
      '--pid-file=',
      '--log-facility=-',
      '--log-dhcp',
    ],
    {},
    signal,
  );
  // Bound before it serves: the first question must not be lost.
  await waitUntil(
    `The DHCP server of node ${node.name} (${node.logPath('dnsmasq')})`,
    START_TIMEOUT_MS,
    async () => (await node.run(['ss', '-Hlun', 'sport = :67'], signal)).trim() !== '',
    signal,
  );
}
