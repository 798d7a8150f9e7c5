import { readdir, readFile, stat } from 'node:fs/promises';
import { expectedSockets, type LibvirtPlace } from '../../core/libvirt-socket.ts';

export interface HostDaemons {
  readonly isSocket: (path: string) => Promise<boolean>;
  /** Whether a process has this name. */
  readonly isRunning: (name: string) => Promise<boolean>;
}

const THIS_HOST: HostDaemons = {
  isSocket: async (path) => (await stat(path).catch(() => undefined))?.isSocket() === true,
  async isRunning(name) {
    const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
    const names = await Promise.all(
      pids.map((pid) => readFile(`/proc/${pid}/comm`, 'latin1').catch(() => '')),
    );
    return names.some((found) => found.trimEnd() === name);
  },
};

/**
 * A warning where both of libvirt's daemons that may have the VMs of a host are set up: only one of them can. The socket of virtqemud is
 * there without it, as systemd starts it for whoever connects; that of libvirtd may be virtproxyd's.
 */
export async function findSecondLibvirt(
  place: LibvirtPlace,
  host: HostDaemons = THIS_HOST,
): Promise<string | undefined> {
  const sockets = expectedSockets(place);
  const [first] = sockets;
  if (sockets.length < 2) return undefined;
  for (const socket of sockets) if (!(await host.isSocket(socket))) return undefined;
  if (!(await host.isRunning('libvirtd'))) return undefined;
  return `Both libvirtd and virtqemud are set up (${sockets.join(', ')}), and only one of them can have the VMs of this host; the agent goes to ${first}, as virsh does. Switch the other off, novactl doctor says how, or name the right one in hypervisor.libvirtSocket`;
}
