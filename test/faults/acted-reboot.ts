import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { readProcess } from '../../lab/plan/lab-processes.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';
const GONE_TIMEOUT_MS = 20_000;

/** The QEMU of a domain, as seen from outside; undefined if it does not run. */
export function qemuOf(node: LabNode, domain: string) {
  return node
    .processes()
    .find(({ command }) => command.some((argument) => argument.startsWith(`guest=${domain},`)));
}

/** Ends a process of the node at whatever line it is, and returns once it is gone. */
export async function killProcess(pid: number, signal: AbortSignal): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await waitUntil(`The end of ${pid}`, GONE_TIMEOUT_MS, () => !readProcess(pid), signal);
}

/**
 * Acts out that the node's host goes down at once and comes up again: what ran is gone, /run is empty as far as it matters,
 * the boot id is another one. libvirt runs again, the agent does not.
 */
export async function actReboot(node: LabNode, signal: AbortSignal): Promise<void> {
  await node.agent.kill(signal);
  const libvirtd = node.libvirt.findPid();
  if (libvirtd !== undefined) await killProcess(libvirtd, signal);
  const guests = node.processes().filter(({ command }) => command[0]?.includes('qemu-system'));
  await Promise.all(guests.map(({ pid }) => killProcess(pid, signal)));
  await node.run(['rm', '-rf', '/run/libvirt/qemu', '/run/novacron'], signal);
  await writeFile(node.outside('run/boot-id'), `${randomUUID()}\n`);
  await node.run(['mount', '--bind', '/run/boot-id', BOOT_ID], signal);
  await node.libvirt.startLibvirtd(signal);
}
