import type { Guest } from '../../client/api.ts';

/** Of itself, of the link alone, and none yet. */
const NOT_FROM_ELSEWHERE = /^(127\.|169\.254\.|0\.|::1$|::$|fe[89ab])/i;

/** The first address of a guest by which others may reach it, IPv4 before IPv6; undefined if none is known. */
export function reachableAddress(interfaces: Guest['interfaces']): string | undefined {
  const all = interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address));
  const found = all.filter((address) => !NOT_FROM_ELSEWHERE.test(address));
  return found.find((address) => !address.includes(':')) ?? found[0];
}
