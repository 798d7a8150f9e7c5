import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { agentPid, driverOf, type TwoNodes } from '../e2e/two-nodes.ts';

/** What libvirtd has open for each VM that runs: its monitor and its process. */
const LIBVIRTD_PER_VM = 2;

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

/** Idle Workers and processes are kept for a while, so some more are no leak: `spare` is fewer than what is looked for would leave. */
export function assertNoMoreFiles(before: OpenFiles, after: OpenFiles, spare: number): void {
  for (const [who, count] of after) {
    const was = before.get(who) ?? 0;
    assert.ok(count <= was + spare, `${who} has ${count} files open, and had ${was}`);
  }
}

function filesOf(pid: number | undefined): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
