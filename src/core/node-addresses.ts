import { hostPortProblem, kindOfHost, parseHostPort } from './host-port.ts';
import { ipVersionOf, isIpv6 } from './ip-address.ts';
import { isRecord } from './is-record.ts';

/** The addresses that a node's configuration has. */
export interface NodeAddresses {
  readonly nodeName?: string | undefined;
  readonly listen?: string | undefined;
  readonly httpListen?: string | undefined;
  readonly advertise?: string | undefined;
  readonly peers: Readonly<Record<string, string>>;
}

export interface AddressFinding {
  /** The setting's key and, for a peer, its name. */
  readonly path: readonly string[];
  /** A sentence that goes on after the key. */
  readonly problem: string;
  /** False for what may work all the same, by means that the configuration does not show. */
  readonly refused: boolean;
}

/** All addresses of the family that others reach this node at. */
export function defaultListen(advertise: string | undefined): string {
  const isV6 = advertise !== undefined && isIpv6(parseHostPort(advertise).host);
  return isV6 ? '[::]:7443' : '0.0.0.0:7443';
}

/** What a node that is alone has no use for. */
const FOR_OTHERS = ['listen', 'tls', 'peers'] as const;

/** Of a node that was meant for others, and that nobody would reach; undefined if there is nothing wrong. */
export function halfAloneProblem(configuration: unknown): string | undefined {
  if (!isRecord(configuration) || configuration['advertise'] != null) return undefined;
  const given = FOR_OTHERS.filter((key) => configuration[key] !== undefined).join(' and ');
  if (given === '') return undefined;
  return `advertise: missing, and without it ${given} would mean nothing; give IP:PORT at which other nodes reach this one, or leave out ${given} for a node that is alone`;
}

/** Everything that is wrong with them, each by itself and with each other. */
export function findAddressProblems(addresses: NodeAddresses): readonly AddressFinding[] {
  const { listen, httpListen, advertise, peers } = addresses;
  const alone = [
    ...ipProblem('listen', listen, 'listen'),
    ...ipProblem('httpListen', httpListen, 'listen'),
    ...ipProblem('advertise', advertise, 'reach'),
    ...Object.entries(peers).flatMap(([name, address]) => {
      const problem = hostPortProblem(address, 'reach');
      return problem === undefined ? [] : [refusal(['peers', name], address, problem)];
    }),
  ];
  return alone.length > 0 ? alone : findMismatches(addresses);
}

/**
 * The addresses that this machine, which has `local`, does not have. It can be told to take foreign ones (ip_nonlocal_bind), and
 * something before it may lead to it, so that is not refused.
 */
export function findForeignAddresses(
  { listen, httpListen, advertise }: Partial<NodeAddresses>,
  local: readonly string[],
): readonly AddressFinding[] {
  const own = new Set(local.map(canonical));
  const others = local.filter((address) => kindOfHost(address) === undefined);
  const has = others.length === 0 ? 'only loopback ones' : others.join(', ');
  const isForeign = (text: string): boolean => {
    const { host } = parseHostPort(text);
    return ipVersionOf(host) !== 0 && kindOfHost(host) === undefined && !own.has(canonical(host));
  };
  return Object.entries({ listen, httpListen, advertise }).flatMap(([key, text]) => {
    if (text === undefined || !isForeign(text)) return [];
    const effect =
      key === 'advertise'
        ? 'so other nodes reach this one only if something between them leads there'
        : 'so the agent cannot listen there';
    const problem = `${text} is none of the addresses of this machine (${has}), ${effect}`;
    return [{ path: [key], problem, refused: false }];
  });
}

function ipProblem(
  key: string,
  text: string | undefined,
  use: 'listen' | 'reach',
): readonly AddressFinding[] {
  if (text === undefined) return [];
  const problem =
    hostPortProblem(text, use) ??
    (ipVersionOf(parseHostPort(text).host) === 0
      ? 'must have an IP address, not a name, such as 10.0.0.1:7443'
      : undefined);
  return problem === undefined ? [] : [refusal([key], text, problem)];
}

function findMismatches(addresses: NodeAddresses): readonly AddressFinding[] {
  const { nodeName, listen = defaultListen(addresses.advertise), advertise, peers } = addresses;
  const at = parseHostPort(listen);
  const listensAtLoopback = kindOfHost(at.host) === 'loopback';
  const found: AddressFinding[] = [];
  if (advertise !== undefined) found.push(...mismatchOf(listen, advertise));
  for (const [name, address] of Object.entries(peers)) {
    if (name === nodeName || listensAtLoopback) continue;
    if (kindOfHost(parseHostPort(address).host) !== 'loopback') continue;
    const problem = `${address} is a loopback address, which is this node itself`;
    found.push({ path: ['peers', name], problem, refused: false });
  }
  return found;
}

function mismatchOf(listen: string, advertise: string): readonly AddressFinding[] {
  const at = parseHostPort(listen);
  const told = parseHostPort(advertise);
  const listensAtLoopback = kindOfHost(at.host) === 'loopback';
  const isLoopback = kindOfHost(told.host) === 'loopback';
  if (isLoopback && !listensAtLoopback) {
    const problem =
      'is a loopback address, which leads whoever connects to itself; give the one at which other nodes reach this one (or, for a node that stays alone, listen at a loopback address too)';
    return [refusal(['advertise'], advertise, problem)];
  }
  if (listensAtLoopback && !isLoopback) {
    const problem = `is a loopback address, so nobody reaches this node at ${advertise}, which it advertises`;
    return [refusal(['listen'], listen, problem)];
  }
  const listensAtAll = kindOfHost(at.host) === 'wildcard';
  if (listensAtAll && !isIpv6(at.host) && isIpv6(told.host)) {
    const problem = `takes IPv4 only, so nobody reaches this node at ${advertise}, which it advertises; listen at "[::]:${at.port}", which takes both`;
    return [refusal(['listen'], listen, problem)];
  }
  if (!listensAtAll && !isSameHost(at.host, told.host)) {
    const problem = `${advertise} is not where this node listens (${listen}), so others reach it only if something between them leads there`;
    return [{ path: ['advertise'], problem, refused: false }];
  }
  if (at.port !== told.port && at.port !== 0) {
    const problem = `${advertise} has another port than listen (${listen}), so others reach it only if something between them leads there`;
    return [{ path: ['advertise'], problem, refused: false }];
  }
  return [];
}

function isSameHost(one: string, other: string): boolean {
  return canonical(one) === canonical(other);
}

/** IPv6 addresses can be written in many ways. */
function canonical(host: string): string {
  return isIpv6(host) ? new URL(`http://[${host}]`).hostname : host;
}

function refusal(path: readonly string[], text: string, problem: string): AddressFinding {
  return { path, problem: `${text} ${problem}`, refused: true };
}
