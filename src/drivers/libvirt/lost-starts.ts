import { readdirSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { METADATA_NAMESPACE } from './domain-xml/metadata-namespace.ts';

/*
 * libvirt writes a status file of a domain before it starts its QEMU, without a pid at first. When it is killed right then, the
 * next libvirtd takes the domain for one that is being started, which nobody does any more: it passes over what has no
 * pid when it looks for its QEMUs (qemuProcessReconnectHelper in qemu_process.c), and keeps the start's job for ever, so that the
 * domain can be neither started nor destroyed. Without the file it finds the domain off.
 *
 * Such a file never stands for a QEMU: libvirt lets QEMU run only once its pid is in the file.
 */

const WITHOUT_PID = /^<domstatus\b[^>]*\bpid='0'/m;
const DAEMONS: readonly string[] = ['libvirtd', 'virtqemud'];
/** include/linux/sched.h */
const PF_EXITING = 0x4;

/**
 * Removes the status files of VMs of agents whose start libvirtd did not survive, unless a libvirtd runs. Returns the
 * hypervisor's names of these VMs. Where the folder cannot be read or changed nothing happens.
 */
export function forgetLostStarts(stateDirectory: string, procDirectory = '/proc'): string[] {
  try {
    const lost = readdirSync(stateDirectory).filter(
      (name) => name.endsWith('.xml') && isLostStart(join(stateDirectory, name)),
    );
    // A libvirtd that runs may be starting it.
    if (lost.length === 0 || isDaemonAlive(stateDirectory, procDirectory)) return [];
    for (const name of lost) unlinkSync(join(stateDirectory, name));
    return lost.map((name) => name.slice(0, -'.xml'.length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    return [];
  }
}

function isLostStart(file: string): boolean {
  const status = readFileSync(file, 'utf8');
  return WITHOUT_PID.test(status) && status.includes(METADATA_NAMESPACE);
}

/** By the pid that the one that had this folder last has left; its number may be another process's by now. */
function isDaemonAlive(stateDirectory: string, procDirectory: string): boolean {
  const pid = readIfThere(join(stateDirectory, 'driver.pid'))?.trim();
  const stat = pid && readIfThere(join(procDirectory, pid, 'stat'));
  if (!stat) return false;
  // proc(5): pid (comm) state ppid pgrp session tty_nr tpgid flags …
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  const [state, , , , , , flags] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return DAEMONS.includes(name) && state !== 'Z' && (Number(flags) & PF_EXITING) === 0;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
