import { ipVersionOf } from './ip-address.ts';

export interface IpNetwork {
  readonly version: 4 | 6;
  readonly address: string;
  /** Bits of the address that all of the network have. */
  readonly prefix: number;
}

/** A network such as `169.254.0.0/16` or `fe80::/10`; undefined for what is none. */
export function parseIpNetwork(text: string): IpNetwork | undefined {
  const [address = '', bits = '', ...more] = text.split('/');
  const version = ipVersionOf(address);
  if (version === 0 || more.length > 0 || !/^\d{1,3}$/.test(bits)) return undefined;
  const prefix = Number(bits);
  return prefix <= (version === 4 ? 32 : 128) ? { version, address, prefix } : undefined;
}
