import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { LabProcess } from '../../lab/plan/lab-processes.ts';

/** A process of a node's agent, named for what it does. */
export interface AgentProcess {
  readonly name: string;
  readonly pid: number;
}

/** What of a node's processes is not the agent's: libvirt, VMs, networks, and what its first process waits for. */
const FOREIGN = /^(libvirtd|virt\w+d|qemu-system-\S+|dnsmasq|ovs\S*|sleep)$/;

/**
 * All that the agent has started on a node, whether it is still its child or not: whatever runs there, without the node's first
 * process and without what is libvirt's.
 */
export function agentProcesses(ofNode: readonly LabProcess[]): AgentProcess[] {
  return ofNode
    .filter(({ pidInNode, command }) => pidInNode !== 1 && !FOREIGN.test(programOf(command)))
    .map(({ pid, command }) => ({ name: nameOf(command), pid }));
}

function programOf([program = '']: readonly string[]): string {
  return path.basename(program.trim());
}

/** Programs in JavaScript are called by their file. */
function nameOf(command: readonly string[]): string {
  const script = command.find((word) => /\.[jt]s$/.test(word));
  return script === undefined ? programOf(command) : path.basename(script, path.extname(script));
}

/** Memory of a process, what it shares counted once among all who share it. */
export function pssMib({ pid }: { readonly pid: number }): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) / 1024;
}

/** Ticks are hundredths of a second on every Linux that Node runs on. */
export function cpuSeconds({ pid }: { readonly pid: number }): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The second field is a name in parentheses, which may hold spaces; user and system time are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
