import { lookup } from 'node:dns/promises';
import { BlockList } from 'node:net';
import { ipVersionOf } from '../../core/ip-address.ts';
import { parseIpNetwork } from '../../core/ip-network.ts';
import { untilAborted } from '../../core/until-aborted.ts';

/** The addresses of hosts that images may come from. */
export class AllowedHosts {
  readonly #forbidden = new BlockList();

  /** Networks: such as `169.254.0.0/16` or `fe80::/10`; those of IPv4 also as IPv6 has them. Throws a RangeError for what is none. */
  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const parsed = parseIpNetwork(network);
      if (parsed === undefined) {
        throw new RangeError(`${network} is no network such as 169.254.0.0/16`);
      }
      const { address, prefix, version } = parsed;
      this.#forbidden.addSubnet(address, prefix, `ipv${version}`);
    }
  }

  /** All that a host has, by its name or as it is. Rejects with what DNS says. */
  async addressesOf(host: string, signal: AbortSignal): Promise<readonly string[]> {
    const bare = host.replace(/^\[(.*)\]$/, '$1');
    if (ipVersionOf(bare) > 0) return [bare];
    const found = await untilAborted(lookup(bare, { all: true }), signal);
    return found.map(({ address }) => address);
  }

  isForbidden(address: string): boolean {
    const [bare = ''] = address.split('%');
    return this.#forbidden.check(bare, ipVersionOf(bare) === 4 ? 'ipv4' : 'ipv6');
  }
}
