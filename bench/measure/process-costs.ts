import { readFileSync } from 'node:fs';
import type { LabNode } from '../../lab/node/lab-node.ts';

/** The processes of a node's agent: itself and its children, of which its libvirt driver is one that always runs. */
export function agentPids(node: LabNode): number[] {
  const main = node.agent.find()?.pid;
  if (main === undefined) return [];
  const pids = node.processes().map(({ pid }) => pid);
  return [main, ...pids.filter((pid) => parentOf(pid) === main)];
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]);
}

/** Memory of processes, what they share counted once among all who share it. */
export function pssMib(pids: readonly number[]): number {
  const kib = pids.map((pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
    return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
  });
  return kib.reduce((sum, value) => sum + value, 0) / 1024;
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is a name in parentheses, which may hold spaces; user and system time are fields 14 and 15.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, value) => sum + value, 0) / 100;
}
