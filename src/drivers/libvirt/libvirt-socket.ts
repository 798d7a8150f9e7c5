import { readFile, stat } from 'node:fs/promises';
import { expectedSockets, type LibvirtPlace, libvirtSocketsIn } from '../../core/libvirt-socket.ts';
import type { IncomingSocket } from '../hypervisor-host.ts';

const ALL_SOCKETS = '/proc/net/unix';

/** The socket that other hypervisors are led to, as it is now: a daemon may have been replaced by another. */
export async function findIncomingSocket(place: LibvirtPlace): Promise<IncomingSocket> {
  const expected = expectedSockets(place);
  for (const path of expected) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isSocket() === true) return { path };
  }
  // Sockets in the root folders of containers, such as KubeVirt's, are told of too, and not to be reached here.
  const all = libvirtSocketsIn(await readFile(ALL_SOCKETS, 'utf8').catch(() => ''));
  const found = await Promise.all(all.map((path) => stat(path).catch(() => undefined)));
  const others = all.filter((_, index) => found[index]?.isSocket() === true);
  return { problem: problemOf(expected, others) };
}

/** Why there may be no connection; empty if the socket is there. */
export async function describeMissingSocket(place: LibvirtPlace): Promise<string> {
  const found = await findIncomingSocket(place);
  return found.problem ?? '';
}

function problemOf(expected: readonly string[], others: readonly string[]): string {
  const missing =
    expected.length === 1
      ? `${expected[0]} is no socket`
      : `none of ${expected.join(', ')} is a socket`;
  const elsewhere = others.find((path) => !expected.includes(path));
  return elsewhere === undefined
    ? `${missing}; install libvirt or start it (systemctl enable --now virtqemud.socket, or libvirtd.socket), or set hypervisor.libvirtSocket`
    : `${missing}, but libvirt listens at ${elsewhere}; set hypervisor.libvirtSocket: ${elsewhere}`;
}
