import { BlockList } from 'node:net';
import { ipVersionOf, isIpv6 } from './ip-address.ts';

/** Where something listens, or is reached. */
export interface HostPort {
  /** A host name or an IP address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What is not the address of one host that others can reach. */
type HostKind = 'wildcard' | 'loopback' | 'multicast' | 'broadcast' | 'link-local' | 'metadata';

/** `listen`: port 0 takes a free one, and a wildcard takes all addresses. `reach`: where others send something to. */
export type HostPortUse = 'listen' | 'reach';

const SHAPE = /^(?:\[([^[\]]*)\]|([^[\]]*)):(\d{1,5})$/;
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/i;
const MUST_BE = 'must be HOST:PORT, such as 10.0.0.1:7443 or [fd00::1]:7443';

const NETWORKS: ReadonlyMap<HostKind, readonly string[]> = new Map([
  ['wildcard', ['0.0.0.0/8', '::/128']],
  ['loopback', ['127.0.0.0/8', '::1/128']],
  ['multicast', ['224.0.0.0/4', 'ff00::/8']],
  ['broadcast', ['255.255.255.255/32']],
  // Those of AWS, Azure, Google, OpenStack and others.
  ['metadata', ['169.254.169.254/32', 'fd00:ec2::254/128']],
  // Those of IPv4 need no zone.
  ['link-local', ['fe80::/10']],
]);

const REFUSED: Readonly<Record<HostPortUse, Partial<Readonly<Record<HostKind, string>>>>> = {
  listen: {
    multicast: 'is a multicast address, at which no connection can be taken',
    broadcast: 'is a broadcast address, at which no connection can be taken',
    'link-local': 'is a link-local address, which works only with a zone; listen at another one',
  },
  reach: {
    wildcard:
      'is a wildcard address, which is for listening and leads whoever connects to itself; give the one at which other nodes reach it',
    multicast: 'is a multicast address, not that of one host',
    broadcast: 'is a broadcast address, not that of one host',
    'link-local':
      'is a link-local address, which works only with a zone, and a zone means something on one host only; give another address',
    metadata: 'is where clouds tell a machine about itself, its secrets included, and no node',
  },
};

/** Reads what `hostPortProblem` has nothing against. */
export function parseHostPort(text: string): HostPort {
  const [, inBrackets, plain = '', port] = SHAPE.exec(text) ?? [];
  return { host: inBrackets ?? plain, port: Number(port) };
}

/** Writes it as it is read: an IPv6 address in brackets. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** What is wrong with HOST:PORT, as a sentence that goes on after its name; undefined if nothing is. */
export function hostPortProblem(text: string, use: HostPortUse): string | undefined {
  const match = SHAPE.exec(text);
  if (match === null) return isIpv6(text) ? `has no port; write [${text}]:7443` : MUST_BE;
  const [, inBrackets, plain = ''] = match;
  const { host, port } = parseHostPort(text);
  if (host.includes('%')) {
    return `has a zone (${host.slice(host.indexOf('%'))}), which means something on one host only; give an address that needs none`;
  }
  if (plain.includes(':')) {
    return isIpv6(plain)
      ? `has an IPv6 address without brackets; write [${plain}]:${port}`
      : MUST_BE;
  }
  if (inBrackets !== undefined && !isIpv6(inBrackets)) {
    return ipVersionOf(inBrackets) === 4
      ? `has brackets, which are for IPv6; write ${inBrackets}:${port}`
      : `has no IPv6 address in its brackets`;
  }
  if (ipVersionOf(host) === 0 && !isHostName(host)) return MUST_BE;
  if (port > 65_535) return 'has a port above 65535';
  if (port === 0 && use === 'reach') return 'has port 0, at which nothing can be reached';
  const kind = kindOfHost(host);
  return kind && REFUSED[use][kind];
}

/** The same of where an agent is asked: at a unix socket or at HOST:PORT. */
export function agentAddressProblem(text: string): string | undefined {
  if (/^unix:\/./.test(text)) return undefined;
  return hostPortProblem(text, 'reach')?.replace(/^must be /, 'must be unix:/PATH or ');
}

/** Undefined for the address of one host, and for a name that has to be looked up. */
export function kindOfHost(host: string): HostKind | undefined {
  if (host.toLowerCase() === 'localhost') return 'loopback';
  const version = ipVersionOf(host);
  if (version === 0) return undefined;
  for (const [kind, networks] of NETWORKS) {
    if (listOf(networks).check(host, version === 6 ? 'ipv6' : 'ipv4')) return kind;
  }
  return undefined;
}

/** A name whose last part is a number would be taken for an IPv4 address that is malformed. */
function isHostName(host: string): boolean {
  return HOST_NAME.test(host) && !/(^|\.)\d+\.?$/.test(host);
}

/** Made when it is asked: most programs that load this never do. */
function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    list.addSubnet(address, Number(prefix), address.includes(':') ? 'ipv6' : 'ipv4');
  }
  return list;
}
