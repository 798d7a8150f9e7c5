/*
 * Where libvirt listens on a host. Distributions have either libvirtd or a daemon for each driver, of which virtqemud is QEMU's;
 * each has a socket of its own.
 */

/** Those of the whole system, in the order in which libvirt's own clients look for them. */
export const LIBVIRT_SOCKETS: readonly string[] = [
  '/run/libvirt/virtqemud-sock',
  '/run/libvirt/libvirt-sock',
];

export const SYSTEM_URI = 'qemu:///system';

export interface LibvirtPlace {
  readonly uri: string;
  /** `auto`: that of the URI, else the first that is there. */
  readonly libvirtSocket: string;
}

/** Where the agent connects to. A socket that is set holds for its own connection too. */
export function connectionUri({ uri, libvirtSocket }: LibvirtPlace): string {
  if (libvirtSocket === 'auto' || uri !== SYSTEM_URI) return uri;
  return `qemu+unix:///system?socket=${encodeURIComponent(libvirtSocket).replaceAll('%2F', '/')}`;
}

/**
 * Why a URI cannot be that of this host's libvirt, a sentence that goes on after the URI's key; undefined if it can. The agent on
 * another host's libvirt would be a second one there, and on that of one user nobody's VMs are found.
 */
export function libvirtUriProblem(uri: string): string | undefined {
  const wayOn = `leave it out, or name the socket of this host's: qemu+unix:///system?socket=/run/libvirt/libvirt-sock`;
  const parsed = URL.parse(uri);
  if (parsed === null) return `${uri} is no URI of libvirt; ${wayOn}`;
  const { protocol, host, pathname } = parsed;
  if (!/^qemu(\+|:)/.test(protocol)) return `${uri} is not that of QEMU; ${wayOn}`;
  if (host !== '' || !['qemu:', 'qemu+unix:'].includes(protocol)) {
    return `${uri} leads to the libvirt of another host, whose own agent has its VMs; ${wayOn}`;
  }
  if (pathname === '/session') return `${uri} is the libvirt of one user only; ${wayOn}`;
  return pathname === '/system' ? undefined : `${uri} is not the libvirt of the system; ${wayOn}`;
}

/** The sockets of which the first that is there counts. */
export function expectedSockets({ uri, libvirtSocket }: LibvirtPlace): readonly string[] {
  if (libvirtSocket !== 'auto') return [libvirtSocket];
  const named = URL.parse(uri)?.searchParams.get('socket');
  return named ? [named] : LIBVIRT_SOCKETS;
}

/** The sockets that system-wide libvirt daemons have, wherever they are; of what /proc/net/unix says. */
export function libvirtSocketsIn(procNetUnix: string): readonly string[] {
  const paths = procNetUnix
    .split('\n')
    .map((line) => / (\/\S+)$/.exec(line)?.[1])
    .filter((path) => path !== undefined);
  const found = paths.filter(
    (path) => /\/(virtqemud|libvirt)-sock$/.test(path) && !/^\/run\/user\/|\/home\//.test(path),
  );
  return [...new Set(found)];
}
