import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { agentPid, driverOf, type TwoNodes } from '../e2e/two-nodes.ts';

/** What libvirtd has open for each VM that runs: its monitor and its process. */
const LIBVIRTD_PER_VM = 2;

/** Longer than idle threads and processes are kept. */
const PATIENCE_MS = 120_000;

/** Numbers of open files, sockets included. */
export type OpenFiles = ReadonlyMap<string, number>;

/** What the daemons of both nodes have open, other than for the VMs that run there. */
export async function countOpenFiles({ lab }: TwoNodes, signal: AbortSignal): Promise<OpenFiles> {
  const found = new Map<string, number>();
  for (const node of lab.nodes) {
    const uuids = await node.libvirt.virsh(['list', '--uuid'], signal);
    const vms = uuids.split('\n').filter((uuid) => uuid.trim() !== '').length;
    found.set(`the agent of node ${node.name}`, filesOf(agentPid(node)));
    found.set(`the libvirt driver of node ${node.name}`, filesOf(driverOf(node).pid));
    const libvirtd = filesOf(node.libvirt.findPid());
    found.set(`libvirtd of node ${node.name}`, libvirtd - LIBVIRTD_PER_VM * vms);
  }
  return found;
}

/**
 * Until no daemon has more files open than before; some more are no leak: `spare` is fewer than what is looked for would leave.
 * What is kept for the next call while it is idle is waited out.
 */
export async function expectNoMoreFiles(
  nodes: TwoNodes,
  before: OpenFiles,
  spare: number,
  signal: AbortSignal,
): Promise<void> {
  let more: string[] = [];
  const isBack = async () => {
    const now = await countOpenFiles(nodes, signal);
    more = [...now]
      .filter(([who, count]) => count > (before.get(who) ?? 0) + spare)
      .map(([who, count]) => `${who} has ${count} files open, and had ${before.get(who)}`);
    return more.length === 0;
  };
  try {
    await waitUntil('No more open files', PATIENCE_MS, isBack, signal);
  } catch (error) {
    signal.throwIfAborted();
    assert.deepEqual(more, [], String(error));
  }
}

function filesOf(pid: number | undefined): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
