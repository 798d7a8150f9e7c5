import { lookup } from 'node:dns/promises';
import { BlockList } from 'node:net';
import { ipVersionOf } from '../../core/ip-address.ts';
import { untilAborted } from '../../core/until-aborted.ts';

/** The addresses of hosts that images may come from. */
export class AllowedHosts {
  readonly #forbidden = new BlockList();

  /** Networks: such as `169.254.0.0/16` or `fe80::/10`; those of IPv4 also as IPv6 has them. Throws a RangeError for what is none. */
  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [address = '', prefix = '', ...more] = network.split('/');
      const version = ipVersionOf(address);
      const isPrefix = /^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128);
      if (version === 0 || !isPrefix || more.length > 0) {
        throw new RangeError(`${network} is no network such as 169.254.0.0/16`);
      }
      this.#forbidden.addSubnet(address, Number(prefix), version === 4 ? 'ipv4' : 'ipv6');
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
